//! The calls of `check_metermaid.so`: from the argument text of a mapping callout to its outcome.
//!
//! A call is a routine, a table, a key and what the routine needs more, with commas between:
//! `throttle,sendlim,adam@sesta.com`. Where the key stands last (`throttle`, `query`, `greylisting`, `fetch`,
//! `remove`) it is everything after the second comma; the value of `store` is everything after the third; the
//! key of the other routines holds no comma, and a call in which it would is refused instead of being guessed
//! at. Routine names are compared without regard to case, table names exactly. A key may be empty.
//!
//! Guarantees: parsing looks at each octet a fixed number of times and keeps only borrowed text.
//!
//! Source: access specification 21.6.

use super::options::TableOptions;
use super::table::{Table, TableError, Test, excerpt};
use super::{Millis, Outcome};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Why an argument text is no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No such routine.
    #[error("routine `{0}` is not known; known are {list}", list = ROUTINES.map(|routine| routine.0).join(", "))]
    UnknownRoutine(String),
    /// Fewer arguments than the routine needs.
    #[error("{routine} has too few arguments; write {form}")]
    TooFew {
        /// The routine.
        routine: &'static str,
        /// How it is written.
        form: &'static str,
    },
    /// A comma in the key of a routine whose key does not stand last.
    #[error("the key `{key}` of {routine} has a comma; only a key that stands last may, write {form}")]
    CommaInKey {
        /// The routine.
        routine: &'static str,
        /// The key as it would be.
        key: String,
        /// How the routine is written.
        form: &'static str,
    },
    /// The amount to adjust by is no number.
    #[error("`{0}` is no amount to adjust by; write a whole number of 64 bits, such as 1, +1 or -1")]
    BadAmount(String),
    /// The test is no operator and number.
    #[error("`{0}` is no test; write =, >, >=, < or <= and a whole number, such as >=5")]
    BadTest(String),
}

/// What a call asks, of which table and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The key.
    pub key: &'a str,
    /// The routine with its own arguments.
    pub routine: Routine<'a>,
}

/// The routines (21.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routine<'a> {
    /// Count a hit; success where it exceeds the quota.
    Throttle,
    /// As [`Routine::Throttle`], without counting.
    Query,
    /// Record an attempt; success where it is to be refused now.
    Greylisting,
    /// Give the key this value.
    Store(&'a str),
    /// Ask for the key's value.
    Fetch,
    /// Remove the key.
    Remove,
    /// Add this to the key's number.
    Adjust(i64),
    /// Compare the key's number.
    Test(Test),
    /// Add this to the key's number, then compare.
    AdjustAndTest(i64, Test),
}

#[derive(Clone, Copy)]
enum Shape {
    KeyLast(Routine<'static>),
    Store,
    Adjust,
    Test,
    AdjustAndTest,
}

const ROUTINES: [(&str, &str, Shape); 9] = [
    (
        "throttle",
        "throttle,table,key",
        Shape::KeyLast(Routine::Throttle),
    ),
    ("query", "query,table,key", Shape::KeyLast(Routine::Query)),
    (
        "greylisting",
        "greylisting,table,key",
        Shape::KeyLast(Routine::Greylisting),
    ),
    ("store", "store,table,key,value", Shape::Store),
    ("fetch", "fetch,table,key", Shape::KeyLast(Routine::Fetch)),
    ("remove", "remove,table,key", Shape::KeyLast(Routine::Remove)),
    ("adjust", "adjust,table,key,n", Shape::Adjust),
    ("test", "test,table,key,expr", Shape::Test),
    (
        "adjust_and_test",
        "adjust_and_test,table,key,n,expr",
        Shape::AdjustAndTest,
    ),
];

impl<'a> Call<'a> {
    /// Reads an argument text.
    ///
    /// # Errors
    ///
    /// [`CallError`], which says how the call is written.
    ///
    /// ```
    /// use mta::metermaid::call::{Call, CallError, Routine};
    /// let call = Call::parse("store,notes,adam,out, back Monday")?;
    /// assert_eq!((call.table, call.key), ("notes", "adam"));
    /// assert_eq!(call.routine, Routine::Store("out, back Monday"));
    /// # Ok::<(), CallError>(())
    /// ```
    pub fn parse(arguments: &'a str) -> Result<Self, CallError> {
        let (name, rest) = arguments.split_once(',').unwrap_or((arguments, ""));
        let Some((routine, form, shape)) = ROUTINES
            .into_iter()
            .find(|(known, _, _)| known.eq_ignore_ascii_case(name))
        else {
            return Err(CallError::UnknownRoutine(excerpt(name)));
        };
        let too_few = || CallError::TooFew { routine, form };
        let (table, rest) = rest.split_once(',').ok_or_else(too_few)?;
        let last = |text: &'a str| text.rsplit_once(',').ok_or_else(too_few);
        let (key, routine_of) = match shape {
            Shape::KeyLast(routine) => {
                return Ok(Call {
                    table,
                    key: rest,
                    routine,
                });
            }
            Shape::Store => {
                let (key, value) = rest.split_once(',').ok_or_else(too_few)?;
                return Ok(Call {
                    table,
                    key,
                    routine: Routine::Store(value),
                });
            }
            Shape::Adjust => {
                let (key, amount) = last(rest)?;
                (key, Routine::Adjust(parse_amount(amount)?))
            }
            Shape::Test => {
                let (key, test) = last(rest)?;
                (key, Routine::Test(parse_test(test)?))
            }
            Shape::AdjustAndTest => {
                let (rest, test) = last(rest)?;
                let (key, amount) = last(rest)?;
                (
                    key,
                    Routine::AdjustAndTest(parse_amount(amount)?, parse_test(test)?),
                )
            }
        };
        if key.contains(',') {
            return Err(CallError::CommaInKey {
                routine,
                key: excerpt(key),
                form,
            });
        }
        Ok(Call {
            table,
            key,
            routine: routine_of,
        })
    }

    /// Does the call on its table at the time `now`.
    ///
    /// # Errors
    ///
    /// [`TableError`], as the operation of [`Table`] gives it.
    pub fn run(&self, table: &mut Table, now: Millis) -> Result<Answer, TableError> {
        let key = self.key;
        Ok(match self.routine {
            Routine::Throttle => Answer::plain(table.throttle(key, now)?),
            Routine::Query => Answer::plain(table.query(key, now)?),
            Routine::Greylisting => Answer::plain(table.greylisting(key, now)?),
            Routine::Store(value) => {
                table.store(key, value)?;
                Answer::plain(true)
            }
            Routine::Fetch => {
                let text = table.fetch(key)?;
                Answer {
                    success: text.is_some(),
                    text,
                    number: None,
                }
            }
            Routine::Remove => {
                table.remove(key)?;
                Answer::plain(true)
            }
            Routine::Adjust(by) => Answer::number(true, table.adjust(key, by)?),
            Routine::Test(test) => Answer::plain(table.test(key, test)?.unwrap_or(false)),
            Routine::AdjustAndTest(by, test) => {
                let sum = table.adjust(key, by)?;
                Answer::number(test.holds(sum), sum)
            }
        })
    }
}

pub(super) fn parse_amount(text: &str) -> Result<i64, CallError> {
    text.parse().map_err(|_| CallError::BadAmount(excerpt(text)))
}

pub(super) fn parse_test(text: &str) -> Result<Test, CallError> {
    Test::parse(text).ok_or_else(|| CallError::BadTest(excerpt(text)))
}

/// All that a call answers. A mapping sees less ([`Answer::into_outcome`]): the number goes only over the wire
/// (21.7), and to the Sieve operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the routine succeeds.
    pub success: bool,
    /// The result text: the value that `fetch` found.
    pub text: Option<String>,
    /// The number after `adjust`, and after `adjust_and_test` whether the test is true or not.
    pub number: Option<i64>,
}

impl Answer {
    fn plain(success: bool) -> Self {
        Answer {
            success,
            text: None,
            number: None,
        }
    }

    fn number(success: bool, number: i64) -> Self {
        Answer {
            success,
            text: None,
            number: Some(number),
        }
    }

    /// What the calling mapping entry sees.
    pub fn into_outcome(self) -> Outcome {
        match self.text {
            Some(text) if self.success => Outcome::Success(Some(text)),
            _ => Outcome::from_bool(self.success),
        }
    }
}

/// The tables of one server by name. Tables are defined before it is shared; from then on any number of
/// threads may call, and each table is locked for the length of one operation.
#[derive(Debug, Default)]
pub struct Tables {
    tables: HashMap<Box<str>, Mutex<Table>>,
}

impl Tables {
    /// Adds an empty table; one of the same name is replaced, and what it held is lost.
    pub fn define(&mut self, name: &str, options: &TableOptions) {
        self.tables.insert(name.into(), Mutex::new(Table::new(options)));
    }

    /// Does a call. An unknown table is [`RunError::UnknownTable`].
    ///
    /// # Errors
    ///
    /// [`RunError`]; nothing has changed then.
    pub fn answer(&self, call: &Call<'_>, now: Millis) -> Result<Answer, RunError> {
        let table = self
            .tables
            .get(call.table)
            .ok_or_else(|| RunError::UnknownTable(excerpt(call.table)))?;
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        call.run(&mut table, now).map_err(|error| RunError::Table {
            table: excerpt(call.table),
            error,
        })
    }

    /// From the argument text of a callout to what its mapping entry sees.
    pub fn run(&self, arguments: &str, now: Millis) -> Outcome {
        match Call::parse(arguments) {
            Err(error) => Outcome::Error(error.to_string()),
            Ok(call) => match self.answer(&call, now) {
                Ok(answer) => answer.into_outcome(),
                Err(error) => Outcome::Error(error.to_string()),
            },
        }
    }
}

/// Why a well-formed call could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// No table of that name.
    #[error("there is no table `{0}`; names are compared exactly, define it or correct the mapping")]
    UnknownTable(String),
    /// The table refuses.
    #[error("table `{table}`: {error}")]
    Table {
        /// The table's name.
        table: String,
        /// Its reason.
        error: TableError,
    },
}

#[cfg(test)]
mod tests {
    use super::super::table::Relation;
    use super::*;

    const AT_LEAST_5: Test = Test {
        relation: Relation::GreaterOrEqual,
        operand: 5,
    };

    #[test]
    fn commas_belong_where_the_routine_has_them() {
        let cases: &[(&str, (&str, &str, Routine<'_>))] = &[
            ("throttle,T,k", ("T", "k", Routine::Throttle)),
            ("THROTTLE,T,a,b,,c", ("T", "a,b,,c", Routine::Throttle)),
            ("query,T,", ("T", "", Routine::Query)),
            (
                "greylisting,T,192.0.2.1|a@b|c@d",
                ("T", "192.0.2.1|a@b|c@d", Routine::Greylisting),
            ),
            ("fetch,T,a,b", ("T", "a,b", Routine::Fetch)),
            ("remove,T,a,b", ("T", "a,b", Routine::Remove)),
            ("store,T,k,one, two", ("T", "k", Routine::Store("one, two"))),
            ("store,T,k,", ("T", "k", Routine::Store(""))),
            ("adjust,T,k,+3", ("T", "k", Routine::Adjust(3))),
            ("adjust,T,,-3", ("T", "", Routine::Adjust(-3))),
            ("test,T,k,>=5", ("T", "k", Routine::Test(AT_LEAST_5))),
            (
                "adjust_and_test,T,k,1,>=5",
                ("T", "k", Routine::AdjustAndTest(1, AT_LEAST_5)),
            ),
        ];
        for (text, (table, key, routine)) in cases {
            assert_eq!(
                Call::parse(text),
                Ok(Call {
                    table,
                    key,
                    routine: *routine
                }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_call_says_how_to_write_one() {
        let cases: &[(&str, &str)] = &[
            ("", "routine `` is not known; known are throttle, query"),
            ("throtle,T,k", "routine `throtle` is not known"),
            ("throttle", "write throttle,table,key"),
            ("throttle,T", "write throttle,table,key"),
            ("store,T,k", "write store,table,key,value"),
            ("adjust,T,5", "write adjust,table,key,n"),
            (
                "adjust_and_test,T,1,>=5",
                "write adjust_and_test,table,key,n,expr",
            ),
            ("adjust,T,k,", "`` is no amount"),
            ("adjust,T,k,+-1", "`+-1` is no amount"),
            ("adjust,T,k,9223372036854775808", "is no amount"),
            ("test,T,k,!=5", "`!=5` is no test"),
            ("adjust_and_test,T,k,1,5", "`5` is no test"),
            ("adjust,T,a,b,1", "the key `a,b` of adjust has a comma"),
            ("test,T,a,b,>=5", "the key `a,b` of test has a comma"),
        ];
        for (text, expected) in cases {
            let error = Call::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_number_is_for_the_wire_and_not_for_the_mapping() {
        let mut tables = Tables::default();
        tables.define(
            "T",
            &TableOptions::parse([("type", "simple"), ("value_type", "integer")]).unwrap(),
        );
        let call = Call::parse("adjust_and_test,T,k,2,>=5").unwrap();
        let below = tables.answer(&call, 0).unwrap();
        assert_eq!(
            below,
            Answer {
                success: false,
                text: None,
                number: Some(2)
            }
        );
        assert_eq!(below.into_outcome(), Outcome::Fail);
        assert_eq!(tables.run("adjust,T,k,2", 0), Outcome::Success(None));
        assert_eq!(tables.run("adjust_and_test,T,k,2,>=5", 0), Outcome::Success(None));
        assert_eq!(tables.run("fetch,T,k", 0), Outcome::Success(Some("6".to_owned())));
        assert_eq!(tables.run("remove,T,k", 0), Outcome::Success(None));
        assert_eq!(tables.run("remove,T,k", 0), Outcome::Success(None));
        assert_eq!(tables.run("fetch,T,k", 0), Outcome::Fail);
        assert_eq!(tables.run("test,T,k,=0", 0), Outcome::Fail);
    }

    #[test]
    fn errors_name_the_table_and_the_way_out() {
        let mut tables = Tables::default();
        tables.define("T", &TableOptions::default());
        let cases = [
            ("throttle,t,k", "there is no table `t`"),
            (
                "fetch,T,k",
                "table `T`: fetch needs a table of type simple, and this one is throttle",
            ),
            ("greylisting,T,k", "greylisting needs a table of type greylisting"),
            (
                "adjust,T,k,1",
                "adjust needs a table of type simple with value_type integer",
            ),
        ];
        for (call, expected) in cases {
            match tables.run(call, 0) {
                Outcome::Error(reason) => assert!(reason.contains(expected), "{call}: {reason}"),
                other => panic!("{call}: {other:?}"),
            }
        }
    }
}
