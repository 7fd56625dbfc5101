//! A million keys take less than 200 MiB. Alone in its process, so that nothing else is measured.

use mta::metermaid::options::TableOptions;
use mta::metermaid::table::Table;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux's /proc");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn a_million_keys_take_less_than_200_mib_and_a_full_table_takes_no_more() {
    let options = TableOptions::parse([("type", "greylisting"), ("max_entries", "1000000")]).unwrap();
    let mut table = Table::new(&options);
    let before = resident_kib();
    let fill = |table: &mut Table, from: u32| {
        for n in from..from + 1_000_000 {
            let [_, a, b, c] = n.to_be_bytes();
            let key = format!("10.{a}.{b}.{c}|sender{n}@example.org|rcpt@example.net");
            assert_eq!(table.greylisting(&key, n.into()), Ok(true), "{key} is new");
        }
    };
    fill(&mut table, 0);
    assert_eq!(table.len(), 1_000_000);
    let full = (resident_kib() - before) / 1024;
    println!("a million keys of about 50 octets: {full} MiB");
    assert!(full < 200, "{full} MiB");

    fill(&mut table, 1_000_000);
    assert_eq!(table.len(), 1_000_000);
    let reused = (resident_kib() - before) / 1024;
    println!("after reusing every entry: {reused} MiB");
    assert!(reused < 220, "{reused} MiB");
}
