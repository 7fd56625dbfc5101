//! One pattern of a mapping table, compiled, and the matcher.
//!
//! Matching is anchored at both ends and ignores ASCII case. The leftmost wildcard decides first: greedy
//! ones take the longest text that lets the rest match, lazy ones the shortest.
//!
//! The way to match is chosen once, when the pattern is compiled:
//! - no wildcard: one comparison;
//! - one network and nothing else: parse the address, compare its leading bits;
//! - greedy wildcards between pieces of fixed width: a scan from the right, linear in the subject for
//!   each piece, without backtracking (on subjects in ASCII);
//! - anything else: a backtracking search that visits every pair of element and position at most once,
//!   so that no pattern and no subject make it exponential. Patterns with back matches cannot be
//!   remembered that way; they are bounded by fuel.
//!
//! The memory of a match is bounded by the number of elements, which [`ELEMENT_LIMIT`] bounds.
//!
//! [`ELEMENT_LIMIT`]: grammar::mapping::ELEMENT_LIMIT

mod address;
mod pieces;
mod search;

use grammar::mapping::{Class, Element, IpNet};

use self::search::Job;

pub(crate) use address::{address_lengths, network_of, parse_address};

/// What each saved element matched: byte ranges of the subject, in the order of the fields.
pub type Captures = Vec<(u32, u32)>;

/// The search ran out of fuel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfFuel;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    ops: Box<[Op]>,
    way: Way,
    fields: u16,
}

#[derive(Debug, Clone)]
enum Way {
    Literal(Box<[u8]>),
    Network(IpNet),
    Pieces,
    Search { back: bool },
}

#[derive(Debug, Clone)]
enum Op {
    /// Lower-case text.
    Text(Box<[u8]>),
    One {
        class: Class,
        save: bool,
    },
    Run {
        class: Class,
        lazy: bool,
        save: bool,
    },
    Back {
        field: u8,
        save: bool,
    },
    Ip(IpNet),
}

impl Pattern {
    /// Compiles parsed elements, of which a parsed pattern has at most [`ELEMENT_LIMIT`].
    ///
    /// [`ELEMENT_LIMIT`]: grammar::mapping::ELEMENT_LIMIT
    pub fn new(elements: &[Element]) -> Self {
        let ops: Vec<Op> = elements
            .iter()
            .map(|e| match e {
                Element::Literal(text) => Op::Text(text.to_ascii_lowercase().into_bytes().into()),
                Element::Wild {
                    class,
                    many: true,
                    lazy,
                    save,
                } => Op::Run {
                    class: class.clone(),
                    lazy: *lazy,
                    save: *save,
                },
                Element::Wild { class, save, .. } => Op::One {
                    class: class.clone(),
                    save: *save,
                },
                Element::Back { field, save } => Op::Back {
                    field: *field,
                    save: *save,
                },
                Element::Ip(net) => Op::Ip(*net),
            })
            .collect();
        let fields = elements
            .iter()
            .filter(|e| e.saves())
            .count()
            .min(u16::MAX as usize) as u16;
        let way = match ops.as_slice() {
            [] => Way::Literal(Box::default()),
            [Op::Text(text)] => Way::Literal(text.clone()),
            [Op::Ip(net)] => Way::Network(*net),
            ops if ops.iter().all(|op| match op {
                Op::Text(_) | Op::One { .. } => true,
                Op::Run { class, lazy, .. } => *class == Class::Any && !lazy,
                _ => false,
            }) =>
            {
                Way::Pieces
            }
            ops => Way::Search {
                back: ops.iter().any(|op| matches!(op, Op::Back { .. })),
            },
        };
        Pattern {
            ops: ops.into(),
            way,
            fields,
        }
    }

    /// How many fields it saves.
    pub fn fields(&self) -> usize {
        self.fields as usize
    }

    /// The text, in lower case, where the pattern has no wildcard.
    pub fn literal(&self) -> Option<&[u8]> {
        match &self.way {
            Way::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// The network, where the pattern is one and nothing else.
    pub fn network(&self) -> Option<IpNet> {
        match &self.way {
            Way::Network(net) => Some(*net),
            _ => None,
        }
    }

    /// Lower-case text that every match begins with.
    pub fn prefix(&self) -> &[u8] {
        match self.ops.first() {
            Some(Op::Text(text)) => text,
            _ => &[],
        }
    }

    /// Lower-case text that every match ends with.
    pub fn suffix(&self) -> &[u8] {
        match self.ops.last() {
            Some(Op::Text(text)) => text,
            _ => &[],
        }
    }

    /// The longest lower-case text that every match contains.
    pub fn inner(&self) -> &[u8] {
        let texts = self.ops.iter().filter_map(|op| match op {
            Op::Text(text) => Some(&**text),
            _ => None,
        });
        texts.max_by_key(|t| t.len()).unwrap_or(&[])
    }

    /// The first network in the pattern and the lower-case text right before it.
    pub fn inner_network(&self) -> Option<(&[u8], IpNet)> {
        let n = self.ops.iter().position(|op| matches!(op, Op::Ip(_)))?;
        let before = match n.checked_sub(1).and_then(|m| self.ops.get(m)) {
            Some(Op::Text(text)) => &**text,
            Some(_) => return None,
            None => &[],
        };
        match self.ops.get(n) {
            Some(Op::Ip(net)) => Some((before, *net)),
            _ => None,
        }
    }

    /// Matches a subject; on success `scratch.captures` holds one range a field. `folded` is the subject in
    /// ASCII lower case. Fuel is used up in proportion to the work.
    pub fn matches(
        &self,
        subject: &str,
        folded: &[u8],
        scratch: &mut Scratch,
        fuel: &mut u64,
    ) -> Result<bool, OutOfFuel> {
        scratch.captures.clear();
        *fuel = fuel.saturating_sub(1);
        match &self.way {
            Way::Literal(text) => Ok(**text == *folded),
            Way::Network(net) => {
                let hit = parse_address(folded).is_some_and(|a| net.contains(a));
                if hit {
                    scratch.captures.push((0, folded.len() as u32));
                }
                Ok(hit)
            }
            _ if self.ends_differ(folded) => Ok(false),
            Way::Pieces if subject.is_ascii() => {
                *fuel = fuel.saturating_sub((folded.len() / 256 + self.ops.len() / 16) as u64);
                self.match_pieces(folded, scratch, fuel)
            }
            Way::Pieces => self.search(subject, folded, false, scratch, fuel),
            Way::Search { back } => self.search(subject, folded, *back, scratch, fuel),
        }
    }

    /// Whether the subject begins or ends with other text than the pattern, which is what most patterns
    /// of a table fail by. Empty texts are not compared: they have no address, and reading there, even
    /// nothing, is slow on some processors.
    fn ends_differ(&self, folded: &[u8]) -> bool {
        let (prefix, suffix) = (self.prefix(), self.suffix());
        if let (Some(a), Some(b)) = (suffix.last(), folded.last())
            && a != b
        {
            return true;
        }
        !prefix.is_empty() && !folded.starts_with(prefix) || !suffix.is_empty() && !folded.ends_with(suffix)
    }
}

/// Buffers of a search, kept from one match to the next, and the fields of the last match.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// What each saved element matched, in the order of the fields.
    pub captures: Captures,
    seen: Vec<u64>,
    jobs: Vec<Job>,
    slots: Captures,
}
