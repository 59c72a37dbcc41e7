package store_test

import "errors"

func limitFileSize(uint64) (undo func() error, err error) { return nil, errors.ErrUnsupported }
