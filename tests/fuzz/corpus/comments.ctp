#!/usr/bin/env -S ctp run
# a
/* b */ probe /* c */ begin /* d */ , # e
  end # f
  /* g */ { # h
  x = ( # i
    a /* j */ + # k
    /* l */ b ) /* m */ ; /* n */ y++ // o
  # ctp: allow(W0002)
  if /* p */ ( x ) /* q */ # r
    y++ # s
  else # t
    z++
  emit { # u
    a: 1 /* v */ , # w
    b: 2 # x
    , } # y
  ;; /* z */ ; }
# the end
