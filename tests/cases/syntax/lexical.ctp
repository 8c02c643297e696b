# a comment
// another
/* and one
   of two lines */
probe begin { // behind code
    x = 0x1F + 0o17 + 0b1010 + 1_000_000 + 0xffff_ffff_ffff_ffff + 18446744073709551615
    x = 1ns + 1us + 1ms + 1s + 1min + 1h + 1K + 1M + 1G
    x = 'c' + '\n' + '\'' + '\\' + '\x41' + '\0' + 'é' + '"'
    b = true && false
    s = "tab\t quote\" backslash\\ hex\x41 octal\101 nul\0 \u{e9} # no comment // nor this /* nor this"
    s = "{ ( [ ] ) } ; '" /* in between */ . "x"
    x = a /* a comment that
             spans lines is a space */ + b
    probes = inner + iff + fnord + nexts # words that begin with words of the language
}
