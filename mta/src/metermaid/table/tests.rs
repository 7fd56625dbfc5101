//! Tests of the table operations.

use super::*;

fn table<const N: usize>(pairs: [(&str, &str); N]) -> Table {
    Table::new(&TableOptions::parse(pairs).unwrap())
}

/// How many of `attempts` hits at `now` pass.
fn passed(table: &mut Table, now: Millis, attempts: usize) -> usize {
    (0..attempts)
        .filter(|_| !table.throttle("k", now).unwrap())
        .count()
}

#[test]
fn the_quota_comes_back_at_its_average_rate() {
    let mut table = table([("quota", "1250"), ("quota_time", "3600")]);
    assert_eq!(passed(&mut table, 0, 2000), 1250);
    assert_eq!(passed(&mut table, 1_800_000, 2000), 625);
    assert_eq!(passed(&mut table, 1_800_000 + 2879, 2), 0); // one hit leaks in 2880 ms
    assert_eq!(passed(&mut table, 1_800_000 + 2880, 2), 1);
}

#[test]
fn no_rounding_decides_however_odd_the_rate() {
    // 7 hits in 60 s leak one in 8571 3/7 ms; after exactly 60 s at any epoch all 7 are free again.
    let mut table = table([("quota", "7"), ("quota_time", "60")]);
    let mut now = 1_700_000_000_123;
    for minute in 0..10_000 {
        assert_eq!(passed(&mut table, now, 9), 7, "minute {minute}");
        now += 60_000;
    }
    assert_eq!(passed(&mut table, now, 7), 7);
    assert_eq!(passed(&mut table, now + 8571, 1), 0);
    assert_eq!(passed(&mut table, now + 8572, 2), 1);
}

#[test]
fn penalized_excess_is_carried_over() {
    let mut table = table([("quota", "5"), ("quota_time", "60"), ("options", "penalize")]);
    assert_eq!(passed(&mut table, 0, 12), 5);
    assert!(table.query("k", 60_000).unwrap());
    assert!(!table.query("k", 120_000).unwrap());
}

#[test]
fn query_counts_nothing_and_creates_nothing() {
    let mut table = table([("quota", "1")]);
    for _ in 0..3 {
        assert!(!table.query("k", 0).unwrap());
    }
    assert!(table.is_empty());
    assert!(!table.throttle("k", 0).unwrap());
    assert!(table.query("k", 0).unwrap());
}

#[test]
fn a_clock_that_goes_back_gives_no_quota() {
    let mut table = table([("quota", "2"), ("quota_time", "60")]);
    assert_eq!(passed(&mut table, 100_000, 3), 2);
    assert_eq!(passed(&mut table, 40_000, 3), 0);
    assert_eq!(passed(&mut table, 100_000, 3), 0);
    assert_eq!(passed(&mut table, 130_000, 3), 1);
}

#[test]
fn quota_zero_refuses_and_extremes_do_not_overflow() {
    let mut zero = table([("quota", "0"), ("options", "penalize")]);
    assert!(zero.throttle("k", 0).unwrap());
    assert!(zero.throttle("k", Millis::MAX).unwrap());
    let mut large = table([
        ("quota", "1000000"),
        ("quota_time", "1000000000"),
        ("options", "penalize"),
    ]);
    assert!(!large.throttle("k", 0).unwrap());
    assert!(!large.throttle("k", Millis::MAX).unwrap());
}

#[test]
fn greylisting_follows_the_states_to_the_millisecond() {
    let (block, resubmit, inactivity) = (300_000, 14_400_000, 604_800_000);
    let cases: &[(&str, &[(Millis, bool)])] = &[
        (
            "a retry too soon keeps its start",
            &[(0, true), (block - 1, true), (block, false)],
        ),
        (
            "the last moment of the window",
            &[(0, true), (block + resubmit - 1, false)],
        ),
        (
            "too late starts anew",
            &[
                (0, true),
                (block + resubmit, true),
                (block + resubmit + block, false),
            ],
        ),
        (
            "use refreshes",
            &[(0, true), (block, false), (block + inactivity, false)],
        ),
        (
            "forgotten after inactivity",
            &[
                (0, true),
                (block, false),
                (block + inactivity + 1, true),
                (block + inactivity + 2, true),
            ],
        ),
        (
            "a clock that goes back",
            &[
                (1_000_000, true),
                (0, true),
                (1_000_000 + block, false),
                (0, false),
            ],
        ),
    ];
    for (name, attempts) in cases {
        let mut table = table([("type", "greylisting")]);
        for (now, refused) in *attempts {
            assert_eq!(
                table.greylisting("k", *now).unwrap(),
                *refused,
                "{name}: at {now}"
            );
        }
    }
}

#[test]
fn integers_adjust_test_and_stay_in_range() {
    let mut table = table([("type", "simple"), ("value_type", "integer")]);
    let at_least = |operand| Test {
        relation: Relation::GreaterOrEqual,
        operand,
    };
    assert_eq!(table.test("k", at_least(0)), Ok(None));
    assert_eq!(table.adjust("k", -3), Ok(-3));
    assert_eq!(table.adjust("k", 5), Ok(2));
    assert_eq!(table.test("k", at_least(2)), Ok(Some(true)));
    assert_eq!(table.test("k", at_least(3)), Ok(Some(false)));
    assert_eq!(table.store("k", "9223372036854775807"), Ok(()));
    assert_eq!(
        table.adjust("k", 1),
        Err(TableError::Overflow {
            value: i64::MAX,
            by: 1
        })
    );
    assert_eq!(table.fetch("k"), Ok(Some("9223372036854775807".to_owned())));
    assert_eq!(
        table.store("k", "9223372036854775808"),
        Err(TableError::NotInteger("9223372036854775808".to_owned()))
    );
    assert_eq!(table.remove("k"), Ok(true));
    assert_eq!(table.remove("k"), Ok(false));
    assert_eq!(table.fetch("k"), Ok(None));
}

#[test]
fn tests_are_an_operator_and_a_number() {
    let cases: &[(&str, Option<[bool; 3]>)] = &[
        ("=5", Some([false, true, false])),
        (">5", Some([false, false, true])),
        (">=5", Some([false, true, true])),
        ("<5", Some([true, false, false])),
        ("<=+5", Some([true, true, false])),
        (">-1", Some([true, true, true])),
        ("5", None),
        ("", None),
        (">", None),
        ("=>5", None),
        ("== 5", None),
        (">= 5", None),
        ("<99999999999999999999", None),
    ];
    for (text, expected) in cases {
        let holds = Test::parse(text).map(|test| [4, 5, 6].map(|value| test.holds(value)));
        assert_eq!(holds, *expected, "{text:?}");
    }
}

#[test]
fn keys_are_limited_and_normalised() {
    let mut text = table([("type", "simple"), ("options", "nocase")]);
    text.store("Adam@Sesta.COM", "1").unwrap();
    assert_eq!(text.fetch("adam@sesta.com").unwrap().as_deref(), Some("1"));
    assert!(text.store(&"k".repeat(255), "").is_ok());
    assert_eq!(text.store(&"k".repeat(256), ""), Err(TableError::KeyTooLong(256)));
    assert!(text.store("", &"v".repeat(MAX_VALUE_OCTETS)).is_ok());
    assert_eq!(
        text.store("", &"v".repeat(2049)),
        Err(TableError::ValueTooLong(2049))
    );

    let mut addresses = table([("data_type", "ipv4"), ("quota", "1")]);
    assert_eq!(addresses.throttle("192.0.2.1", 0), Ok(false));
    assert_eq!(addresses.throttle("192.0.2.1", 0), Ok(true));
    for bad in ["192.0.2", "192.0.2.256", "::1", "", "192.0.2.1 "] {
        assert_eq!(
            addresses.throttle(bad, 0),
            Err(TableError::NotIpv4(bad.to_owned())),
            "{bad:?}"
        );
    }
}

#[test]
fn a_full_table_reuses_the_key_not_used_for_longest() {
    let mut table = table([("quota", "1"), ("max_entries", "2")]);
    assert_eq!(table.throttle("a", 0), Ok(false));
    assert_eq!(table.throttle("b", 0), Ok(false));
    assert_eq!(table.throttle("a", 0), Ok(true));
    assert_eq!(table.throttle("c", 0), Ok(false)); // in b's place
    assert_eq!(table.len(), 2);
    assert_eq!(table.throttle("a", 0), Ok(true));
    assert_eq!(table.throttle("b", 0), Ok(false));
}
