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
