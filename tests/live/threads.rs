//! Thread-local variables: each thread's own, as the program's threads print them.

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};

#[test]
fn thread_local_variables_are_those_of_the_thread_that_calls() {
    for (compiler, flags) in [
        (Compiler::Gcc, &["-g", "-O0", "-pthread"][..]),
        (Compiler::Gcc, &["-g", "-O2", "-gdwarf-4", "-pthread"]),
        (Compiler::Gcc, &["-g", "-O1", "-fPIC", "-ftls-model=global-dynamic", "-pthread"]),
        (Compiler::Clang, &["-g", "-O0", "-gdwarf-4", "-pthread"]),
        (Compiler::Clang, &["-g", "-O2", "-pthread"]),
    ] {
        let image = Image::new(&Binary::compile("threads.c", compiler, flags), "/app/threads");
        let mut container = Container::driven(&image);
        let ctp = Running::attached(&format!(
            r#"probe container("{}"):exe.fn("take") {{
                   printf("%d: %d %d %s %s %d %d\n", $number, @var("own"), @var("shape").sides,
                          @var("shape").name, @var("letters"), @var("alone"), @var("calls"))
               }}"#,
            container.name()
        ));
        container.call(5);
        let output = ctp.interrupt();
        let (mut printed, mut seen) = (container.printed(), output.lines());
        printed.sort();
        seen.sort();
        assert_eq!(printed.len(), 45, "{compiler:?} {flags:?}");
        assert_eq!(seen, printed, "{compiler:?} {flags:?}");
    }
}
