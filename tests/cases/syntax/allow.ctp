# ctp: allow(W0001)
global unused
# ctp: allow(W0002, W0004)
probe begin {
    # ctp: allow(W0003)
    // and a reason
    x++
}
# ctp: allow(W9999)  #~ E0010 there is no warning `W9999`
# ctp: allow(E0104)  #~ E0010 E0104 is an error, only warnings can be silenced
# ctp: silence(W0001)
#~ E0010 this comment tells ctp nothing
#~ help: # ctp: allow(W0001)
