package event

// ParseShape is what a reader holds an event to.
func ParseShape(e *Event) error { return e.shape() }
