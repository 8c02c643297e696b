//! The addresses: what `stap -p2` prints as `pc=` is where gdb breaks.

use ctp_lang::debuginfo::facts::{AddressRule, SiteKind};
use ctp_lang::emit::stap::{Options, emit};
use ctp_lang::ir::Show;

use crate::programs::{in_memory, print, probe, program, shown, site, sources, words};
use crate::sample::Sample;
use crate::stap::Root;

const HELLO: &str = "probe container(\"web\"):/app/test_app.fn(\"my_function\") {\n    printf(\"Entered my_function with argument: %d\\n\", $arg)\n}\n";

#[test]
fn hello_probes_where_gdb_breaks() {
    for (compiler, options, rule) in [
        ("gcc", &["-O0"][..], AddressRule::SecondLine),
        ("gcc", &["-O2"], AddressRule::LowPc),
        ("gcc", &["-O0", "-no-pie"], AddressRule::SecondLine),
        ("clang", &["-O0"], AddressRule::PrologueEnd),
        ("clang", &["-O2"], AddressRule::PrologueEnd),
    ] {
        let sample = Sample::build(compiler, options);
        let meant = sample.breakpoints("my_function");
        let sites = meant.iter().map(|pc| site("my_function", *pc, SiteKind::OutOfLine, rule)).collect();
        let body = vec![print(vec![
            words("Entered my_function with argument: "),
            shown(in_memory("arg", vec![]), Show::Signed),
            words("\n"),
        ])];
        let script = emit(&program(vec![probe(sites, body)]), &sources(HELLO), &Options::default()).expect("a script");
        let answer = Root::with(&[&sample.path]).stap(&script.text, &["-p2"]).accepted(&script.text);
        assert_eq!(answer.addresses("/run/ctp/t0"), meant, "{compiler} {options:?}");
        assert!(answer.out.contains("function(\"my_function@"), "{}", answer.out);
    }
}
