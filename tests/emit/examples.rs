//! Every example, as gcc and clang build its program, plain and optimised: stap accepts the script, and probes at the
//! addresses that ctp meant.

use std::path::Path;

use ctp_lang::emit::stap::{Options, emit};

use crate::sample::Sample;
use crate::stap::Root;
use crate::world::{Samples, checked};

#[test]
fn every_example_is_accepted_at_the_addresses_meant() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut examples: Vec<_> = std::fs::read_dir(&folder)
        .expect("examples")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ctp"))
        .collect();
    examples.sort();
    assert!(!examples.is_empty(), "there are examples");
    for compiler in ["gcc", "clang"] {
        for level in ["-O0", "-O2"] {
            // Debian 12's elfutils finds the unit of an address by .debug_aranges only, which clang leaves out.
            let options: &[&str] = if compiler == "clang" { &[level, "-gdwarf-aranges"] } else { &[level] };
            let test_app = Sample::of("../../examples/test_app.c", compiler, options);
            let kinds = Sample::of("../../examples/kinds.c", compiler, options);
            let world = Samples(vec![("/app/test_app", test_app.path), ("/app/kinds", kinds.path)]);
            for example in &examples {
                let text = std::fs::read_to_string(example).expect("an example");
                let name = example.file_name().and_then(|name| name.to_str()).expect("a plain name");
                let (sources, program) = checked(name, &text, &world);
                let script = emit(&program, &sources, &Options::default()).expect("a script");
                let files: Vec<&Path> = script
                    .files
                    .iter()
                    .filter_map(|slot| {
                        let path = &program.file(slot.file)?.path;
                        world.0.iter().find(|(known, _)| known == path).map(|(_, file)| file.as_path())
                    })
                    .collect();
                let answer = Root::with(&files).stap(&script.text, &["-p2", "-v"]).accepted(&script.text);
                for (index, slot) in script.files.iter().enumerate() {
                    let meant: Vec<u64> =
                        script.points.iter().filter(|point| point.slot == index).map(|point| point.address).collect();
                    assert!(!meant.is_empty(), "{name} probes {}", slot.path);
                    assert_eq!(answer.addresses(&slot.path), meant, "{name}, {compiler} {level}\n{}", script.text);
                }
            }
        }
    }
}
