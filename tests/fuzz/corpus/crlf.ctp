probe begin {
	x = a +
		b /* one
 two */ 
}
# end
