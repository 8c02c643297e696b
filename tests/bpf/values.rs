//! Values: what a handler reads is what the program itself printed.

use ctp::engine::Engine;
use ctp_lang::ir::*;

use crate::build::*;
use crate::target::{Binary, OwnCgroup};

const HELLO: &str = r#"
#include <stdio.h>
__attribute__((noipa)) void my_function(int arg) { printf("my_function(%d)\n", arg); }
int main(void) { getchar(); for (int i = 0; i < 5; i++) my_function(i * 10 - 20); return 0; }
"#;

#[test]
fn an_argument_is_what_the_program_printed() {
    let (binary, web) = (Binary::c(HELLO, &["-O2"]), OwnCgroup::new("web"));
    let mut running = web.start(&binary, &[]);
    let case = Case::new(&[&binary], vec![web.container()]).probe(
        &[(0, "my_function", &[0])],
        vec![print(vec![Part::Text("my_function("), Part::Show(int_argument(0)), Part::Text(")\n")])],
    );
    let mut engine = case.start();
    running.go();
    let expected = running.finish();
    engine.stop().unwrap();
    let events = drain(&mut engine);
    assert_eq!(written(&engine, &events), expected);
    let counters = engine.counters().unwrap();
    assert_eq!((counters[0].records, counters[0].hits()), (5, 5));
}
