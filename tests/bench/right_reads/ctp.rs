//! Owns asking ctp: all builds of a language in one container, as `tests/live/matrix.rs` does.

use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};
use ctp_tests::matrix::{Call, by_build, plain, value};

use crate::Language;
use crate::reads::{Hit, Read};

/// The calls and the hits of each build.
pub(crate) fn all(language: &Language) -> (Vec<Vec<Call<'static>>>, Vec<Vec<Hit>>) {
    let (builds, pattern) = (&language.programs.builds, language.programs.pattern);
    let image = Image::of_tree(language.programs.tree.path(), "/app/launch");
    let mut container = Container::driven(&image);
    let name = container.name().to_owned();
    let probe = |number: usize| {
        format!(
            "probe container(\"{name}\"):/app/{number}.fn(\"{pattern}\") {{ printf(\"{number}|%s|%s\\n\", probefunc(), $$parms) }}\n"
        )
    };
    let script: String = (0..builds.len()).map(probe).collect();
    let ctp = Running::attached(&script);
    container.call(u32::try_from(builds.len()).unwrap());
    // Kept to the end: what is compared borrows from it.
    let printed: &'static str = Box::leak(container.printed().join("\n").into_boxed_str());
    let output = ctp.interrupt();
    assert!(output.stderr.contains(" 0 lost,"), "{}", output.stderr);
    let mut hits: Vec<Vec<Hit>> = builds.iter().map(|_| Vec::new()).collect();
    for line in output.stdout.lines() {
        let mut parts = line.splitn(3, '|');
        let (number, function, shown) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let number: usize = number.parse().unwrap();
        let functions = language.functions[number].all.iter();
        // Overloads: the one whose parameters are shown.
        let found = functions.clone().find(|one| one.name == function);
        let found = found.or_else(|| functions.clone().find(|one| one.plain == plain(function))).unwrap();
        let names: Vec<&str> = found.parameters.iter().map(|(name, _)| name.as_str()).collect();
        let read = |name: &&str| Some(((*name).to_owned(), Read::Shown(value(shown, name, &names)?.to_owned())));
        hits[number].push(Hit { function: found.plain.clone(), values: names.iter().filter_map(read).collect() });
    }
    (by_build(printed, builds.len()), hits)
}
