//! Text of the program: as it stands there, cut where it is long, and a fault where nothing is.

use std::collections::BTreeMap;

use ctp_tests::binary::{Binary, Compiler};
use ctp_tests::ctp::Running;
use ctp_tests::docker::{Container, Image};

#[test]
fn short_empty_long_not_resident_and_nowhere() {
    let image = Image::new(&Binary::compile("texts.c", Compiler::Gcc, &["-g", "-O2"]), "/app/texts");
    let mut container = Container::driven(&image);

    let ctp = Running::attached(&format!(
        r#"probe container("{}"):/app/texts.fn("say") {{ printf("say %d %s\n", $number, $text) }}"#,
        container.name()
    ));
    container.call(5);
    let output = ctp.interrupt();

    let (seen, printed) = (output.lines(), container.printed());
    assert_eq!(seen.len(), 5, "{output:?}");
    assert_eq!(seen[0], printed[0]);
    assert_eq!(seen[1], printed[1]);
    // The language's limit is 256 bytes, the closing zero among them or not.
    let kept = seen[2].strip_suffix("<truncated>").expect("a mark that there was more");
    assert!(printed[2].starts_with(kept), "{kept}");
    assert!((255..=256).contains(&(kept.len() - "say 2 ".len())), "{kept}");
    assert_eq!(seen[3], printed[3]);
    assert_eq!(printed[4], "say 4 nowhere");
    assert_eq!(seen[4], "say 4 <fault>");
    assert!(output.stderr.contains("ctp: 5 hits, 5 records, 0 lost, 1 fault in"), "{}", output.stderr);
}

#[test]
fn a_longer_limit_keeps_more() {
    let image = Image::new(&Binary::compile("texts.c", Compiler::Gcc, &["-g"]), "/app/texts");
    let mut container = Container::driven(&image);
    let script = format!(
        r#"probe container("{}"):/app/texts.fn("say") {{ printf("say %d %s\n", $number, $text) }}"#,
        container.name()
    );

    let ctp = Running::attached_with(&["run", "--strlen", "1024", "-e", &script]);
    container.call(3);

    assert_eq!(ctp.interrupt().lines(), container.printed());
}

/// Addresses of IPv6 as keys, compared and joined: their text is made in the kernel.
#[test]
fn addresses_that_are_kept_are_written_as_inet_ntop_writes_them() {
    let image = Image::new(&Binary::compile("addresses.c", Compiler::Gcc, &["-g", "-O2"]), "/app/addresses");
    let mut container = Container::driven(&image);
    let ctp = Running::attached(&format!(
        r#"global seen
        probe container("{}"):/app/addresses.fn("take") {{
            address = ipv6(user_buffer($bytes, 16))
            seen[address]++
            printf("take %s\n", address)
            if (ipv6(user_buffer($bytes, 16)) == "::") println("none")
            if (ipv6(user_buffer($bytes, 4)) != "<not 16 bytes>") println("short")
        }}
        probe end {{ foreach (address in seen) printf("seen %s %d\n", address, seen[address]) }}"#,
        container.name()
    ));
    container.call(300);
    let output = ctp.interrupt();
    let printed = container.printed();
    let lines = output.lines();
    let of = |word: &str| -> Vec<&str> { lines.iter().copied().filter(|line| line.starts_with(word)).collect() };
    assert_eq!(of("take "), printed, "{}", output.stderr);
    assert_eq!((of("none").len(), of("short").len()), (1, 0));
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for line in &printed {
        *counts.entry(line.strip_prefix("take ").unwrap()).or_default() += 1;
    }
    let mut expected: Vec<String> = counts.iter().map(|(address, count)| format!("seen {address} {count}")).collect();
    let mut seen: Vec<String> = of("seen ").into_iter().map(str::to_owned).collect();
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
    assert!(printed.len() == 300 && printed.iter().any(|line| line.starts_with("take ::ffff:")));
}

/// Texts that the kernel cannot make (of floating-point numbers, of whole values) as keys, in globals and joined; and
/// moments, which it can.
#[test]
fn texts_of_every_conversion_may_be_kept() {
    let image = Image::new(&Binary::compile("orders.c", Compiler::Gcc, &["-g", "-O2"]), "/app/orders");
    let mut container = Container::driven(&image);
    let ctp = Running::attached(&format!(
        r#"global by_price, whole, last = "none", first = "none", days
        probe container("{}"):/app/orders.fn("ship") {{
            by_price[sprintf("%.1f", $order->price), $order->place->x > 4]++
            whole[sprintf("%s", *$order)] <<< $order->number
            if ($order->number == 0) first = sprintf("%e", $order->price) . "!"
            last = sprintf("%.3f", $order->price)
            println("joined " . sprintf("%.1f %.3f", $order->price, $order->price) . sprintf(" %e", $order->price))
            day = strftime("%F", $order->number * 86_400_000_000_000)
            days[day]++
            if (strftime("%d", $order->number * 86_400_000_000_000) == "03") println("third")
        }}
        probe end {{
            foreach ([price, far] in by_price) printf("by %s %d %d\n", price, far, by_price[price, far])
            foreach (order in whole) printf("order %s %d\n", order, @count(whole[order]))
            foreach (day in days) printf("day %s %d\n", day, days[day])
            println("first", first, "last", last)
        }}"#,
        container.name()
    ));
    container.call(10);
    let output = ctp.interrupt();
    let (printed, lines) = (container.printed(), output.lines());
    let of = |lines: &[&str], word: &str| -> Vec<String> {
        let mut found: Vec<String> =
            lines.iter().filter(|line| line.starts_with(word)).map(|line| (*line).to_owned()).collect();
        found.sort();
        found
    };
    let printed: Vec<&str> = printed.iter().map(String::as_str).collect();
    let prices: Vec<&str> = printed.iter().filter_map(|line| line.strip_prefix("price ")).collect();
    let joined: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("joined ")).collect();
    assert_eq!(joined, prices, "{}", output.stderr);
    let orders: Vec<String> = of(&printed, "order ").iter().map(|line| format!("{line} 1")).collect();
    assert_eq!(of(&lines, "order "), orders);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for (number, price) in prices.iter().enumerate() {
        let shown = price.split(' ').next().unwrap();
        *counts.entry(format!("by {shown} {}", u8::from(number > 4))).or_default() += 1;
    }
    let expected: Vec<String> = counts.iter().map(|(key, count)| format!("{key} {count}")).collect();
    assert_eq!(of(&lines, "by "), expected);
    let days: Vec<String> = (1..=10).map(|day| format!("day 1970-01-{day:02} 1")).collect();
    assert_eq!(of(&lines, "day "), days);
    assert_eq!(of(&lines, "third").len(), 1);
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (first, last) = (words(prices[0]), words(prices[9]));
    assert_eq!(of(&lines, "first "), [format!("first {}! last {}", first[2], last[1])]);
    assert!(output.stderr.contains(" 10 records, 0 lost"), "{}", output.stderr);
}
