package kinds

// setDefault gives a field its default where the user left it out.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// setDefaultPointer does so for optional fields, where nil means left out and zero is a wish.
func setDefaultPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// noneIfEmpty makes a list without entries none. Kubernetes stores objects in a form (protobuf) that does not tell the two
// apart, so a list that is always shown shows as null.
func noneIfEmpty[T any](list *[]T) {
	if len(*list) == 0 {
		*list = nil
	}
}

// emptyIfNull makes null values empty ones, for the same reason.
func emptyIfNull(data map[string][]byte) {
	for key, value := range data {
		if value == nil {
			data[key] = []byte{}
		}
	}
}
