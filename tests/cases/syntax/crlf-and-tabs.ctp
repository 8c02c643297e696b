probe begin {
	x = a +
		b
	f("x",
	  1)
}
