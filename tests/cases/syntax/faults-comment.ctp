probe begin {
  f()
  /* a comment without an end hides the rest
  #~ E0003 this comment never ends

  g(
}
