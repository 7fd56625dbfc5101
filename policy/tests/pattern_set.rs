//! The indexed table gives the answers of the naive scan, on random tables and probes.

use policy::pattern::{Pattern, Scratch};
use policy::pattern_set::{Cursor, PatternSet};

/// splitmix64: the same numbers at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

const SHAPES: [&str; 6] = ["literals", "suffixes", "networks", "probes", "globs", "crowds"];

fn address(r: &mut Random, spread: u64) -> String {
    if r.below(5) == 0 {
        return format!("2001:db8:{:x}::{:x}", r.below(spread), r.below(3));
    }
    format!("10.{}.{}.{}", r.below(spread.min(256)), r.below(4), r.below(256))
}

fn network(r: &mut Random, spread: u64) -> String {
    let a = address(r, spread);
    if a.contains(':') {
        format!("${{{a}/{}}}", 32 + r.below(97))
    } else {
        format!("$({a}/{})", 8 + r.below(25))
    }
}

fn pattern(shape: &str, r: &mut Random, spread: u64) -> String {
    let n = r.below(spread);
    match shape {
        "literals" => format!("User{n}@dom{}.example", r.below(3)),
        "suffixes" => match r.below(8) {
            0 => format!("user{n}@*"),
            1 => format!("*.dom{n}.example"),
            _ => format!("*@dom{n}.example"),
        },
        "networks" => match r.below(12) {
            0 => format!("{}*", network(r, spread)),
            _ => network(r, spread),
        },
        "probes" => {
            let channel = r.pick(&["tcp_local", "tcp_*", "*", "tcp_intranet"]);
            match r.below(4) {
                0 => format!("TCP|*|25|{}|*", network(r, spread)),
                1 => format!("{channel}|*@dom{n}.example|*|*"),
                2 => format!("{channel}|*|tcp_local|*@dom{n}.example"),
                _ => format!("{channel}|user{n}@*|$[a-z]*_local|*"),
            }
        }
        // few keys, each of many entries, and many keys in one subject
        "crowds" => match r.below(4) {
            0 => format!("*key{}.*%{n}*", r.below(12)),
            1 => format!("start*%{}%*$D%", r.below(4)),
            2 => format!("*word{n}*"),
            _ => format!("%*{}*$[x-z]%", r.below(10)),
        },
        _ => match r.below(9) {
            0 => "*".to_string(),
            1 => format!("*{n}*x*"),
            2 => format!("%%{n}*"),
            3 => format!("$_*word{n}$D*"),
            4 => format!("*|$0*|{n}"),
            5 => format!("$[a-c]*{n}%"),
            6 => format!("*a*{n}"),
            7 => format!("{n}*"),
            _ => format!("*word{n}*end"),
        },
    }
}

fn subject(shape: &str, r: &mut Random, spread: u64) -> String {
    let n = r.below(spread + spread / 4 + 1);
    match shape {
        "literals" => format!("USER{n}@dom{}.Example", r.below(3)),
        "suffixes" => match r.below(4) {
            0 => format!("user{n}@sub.dom{}.example", r.below(spread)),
            _ => format!("user{n}@dom{}.example", r.below(spread)),
        },
        "networks" => match r.below(6) {
            0 => format!("{}7", address(r, spread)),
            _ => address(r, spread),
        },
        "probes" => match r.below(3) {
            0 => format!("TCP|10.0.0.1|25|{}|4711", address(r, spread)),
            1 => format!(
                "tcp_local|user{n}@dom{}.example|tcp_local|x@dom{n}.example",
                r.below(spread)
            ),
            _ => format!("tcp_auth|user{n}@y.example|ims_local|Zoë@dom{n}.example"),
        },
        "crowds" => {
            let mut text = r.pick(&["start", "x"]).to_string();
            for _ in 0..r.below(30) {
                let n = r.below(spread);
                text += &match r.below(3) {
                    0 => format!("key{}.", r.below(14)),
                    1 => format!("word{n}"),
                    _ => format!("{n}"),
                };
            }
            text + r.pick(&["x", "7"])
        }
        _ => match r.below(4) {
            0 => format!("abc{n}x"),
            1 => format!("a|a|{n}"),
            2 => format!("xaword{n}7end"),
            _ => format!("{n}{n}ax"),
        },
    }
}

fn compile(text: &str) -> Pattern {
    let mut diagnostics = Vec::new();
    let elements = grammar::mapping::parse_pattern(text, &|_| grammar::Span::default(), &mut diagnostics);
    Pattern::new(&elements)
}

fn compare(shape: &str, entries: u64, probes: u64, seed: u64) -> usize {
    let mut r = Random(seed);
    let texts: Vec<String> = (0..entries).map(|_| pattern(shape, &mut r, entries)).collect();
    let set = PatternSet::new(texts.iter().map(|t| compile(t)).collect());
    let (mut scratch, mut other, mut cursor) = (Scratch::default(), Scratch::default(), Cursor::default());
    let mut hits = 0;
    for _ in 0..probes {
        let subject = subject(shape, &mut r, entries);
        let folded = subject.to_ascii_lowercase();
        set.cursor(folded.as_bytes(), &mut cursor);
        let mut from = 0;
        for _ in 0..3 {
            let mut fuel = u64::MAX;
            let fast = set
                .next(
                    &subject,
                    folded.as_bytes(),
                    &cursor,
                    from,
                    &mut scratch,
                    &mut fuel,
                )
                .unwrap();
            let slow = set.scan(&subject, from, &mut other);
            let name = |n: Option<usize>| n.map(|n| texts[n].as_str());
            assert_eq!(
                fast,
                slow,
                "{shape} seed {seed} {subject} from {from}: {:?} {:?}",
                name(fast),
                name(slow)
            );
            let Some(n) = fast else { break };
            assert_eq!(scratch.captures, other.captures, "{shape} {subject} {}", texts[n]);
            hits += 1;
            from = n + 1;
        }
    }
    hits
}

#[test]
fn indexed_equals_scan() {
    for shape in SHAPES {
        let mut hits = 0;
        for seed in 0..12 {
            hits += compare(shape, 5 + seed * 17, 400, seed);
        }
        hits += compare(shape, 3000, 1000, 99);
        hits += compare(shape, 12_000, 100, 100);
        assert!(
            hits > 300,
            "{shape}: only {hits} probes matched, so little was compared"
        );
    }
}

/// The full comparison of the design, so many probes of each shape:
/// `SLUICE_SET_PROBES=10000000 cargo test --release -p sluice-policy --test pattern_set`.
#[test]
fn indexed_equals_scan_at_full_size() {
    let Some(probes) = std::env::var("SLUICE_SET_PROBES")
        .ok()
        .and_then(|p| p.parse::<u64>().ok())
    else {
        return;
    };
    for shape in SHAPES {
        // the scan is what takes the time: many small tables, and a share of probes on large ones
        for seed in 0..probes.div_ceil(20_000) {
            compare(shape, 10 + seed % 190, 20_000, 1000 + seed);
        }
        compare(shape, 100_000, (probes / 10_000).clamp(10, 1000), 5);
    }
}

#[test]
fn hostile_patterns_end() {
    let subject = "a".repeat(64 * 1024);
    let mut scratch = Scratch::default();
    for text in [
        "*a*a*a*a*b",
        "$_*a$_*a$_*a$_*a$_*b",
        "$A*$A*$A*$A*b",
        "%*%*%*%*b",
        "*$0*$1*$0*b",
    ] {
        let mut fuel = 10_000_000;
        let result = compile(text).matches(&subject, subject.as_bytes(), &mut scratch, &mut fuel);
        assert!(result != Ok(true), "{text}");
    }
    let many = "*a".repeat(100) + "*b";
    let mut fuel = 100_000_000;
    assert_ne!(
        compile(&many).matches(&subject, subject.as_bytes(), &mut scratch, &mut fuel),
        Ok(true)
    );
}
