# Constants may stand in any order; what they are made of is known when compiled.
const HALF = WHOLE / 2
const WHOLE = SECONDS * 1s
const SECONDS = 3
const NAME = "web" . SUFFIX
const SUFFIX = "-1"
const LONG = 5 + 3
global a = HALF, sizes[SECONDS * 1000], text = NAME

probe every(HALF) { println(a, text, LONG); sizes[a]++; a = 2; text = "" }

const ONE = TWO + 1                              #~ E0211 the constant `ONE` is defined by itself
const TWO = ONE + 1
const OWN = OWN                                  #~ E0211 the constant `OWN` is defined by itself
const WHEN = now()                               #~ E0209 this is not known before the program runs
const WHO = comm()                               #~ E0209 this is not known before the program runs
const NONE = 1 / (SECONDS - 3)                   #~ E0208 division by zero
const HALF = 1                                   #~ E0107 `HALF` is defined twice
# What is wrong is said where it is wrong, not where it is used.
probe begin { println(ONE, TWO, OWN, WHEN, WHO, NONE) }
probe begin { SECONDS = 4 }                      #~ E0210 `SECONDS` is a constant and cannot change
probe begin { a %= SECONDS - 3 }                 #~ E0208 division by zero
