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

use std::net::IpAddr;

use grammar::mapping::{Class, Element, IpNet, address_bits, mask};

/// Longest text of an address: an IPv6 address with an embedded IPv4 one.
const ADDRESS_LIMIT: usize = 45;

/// What each saved element matched: byte ranges of the subject, in the order of the fields.
pub type Captures = Vec<(u32, u32)>;

/// The search ran out of fuel; only patterns with back matches can.
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
    /// Compiles parsed elements.
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
            Way::Pieces if subject.is_ascii() => self.match_pieces(folded, scratch, fuel),
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

    /// Pieces of fixed width between greedy runs, placed from the right. The rightmost place of each
    /// piece leaves most room to the runs on its left, which is what the leftmost run wants.
    fn match_pieces(&self, folded: &[u8], scratch: &mut Scratch, fuel: &mut u64) -> Result<bool, OutOfFuel> {
        let ops = &*self.ops;
        let captures = &mut scratch.captures;
        let Some(first_run) = ops.iter().position(|op| matches!(op, Op::Run { .. })) else {
            return Ok(width(ops) == folded.len() && place(ops, folded, 0, captures));
        };
        let (head, tail) = (&ops[..first_run], &ops[first_run..]);
        let head_width = width(head);
        if head_width > folded.len() || !fits(head, folded, 0) {
            return Ok(false);
        }
        // where each piece after a run was placed, from the right
        let mut places = [0u32; 32];
        let mut count = 0;
        let mut end = folded.len();
        let mut rest = tail;
        let mut last = true;
        while let Some(run) = rest.iter().rposition(|op| matches!(op, Op::Run { .. })) {
            let piece = &rest[run + 1..];
            let w = width(piece);
            if end < head_width + w {
                return Ok(false);
            }
            let at = if last {
                fits(piece, folded, end - w).then_some(end - w)
            } else {
                rfind(piece, folded, head_width, end - w, fuel)?
            };
            let Some(at) = at else { return Ok(false) };
            if count == places.len() {
                // more runs than a person writes: the general way
                return match std::str::from_utf8(folded) {
                    Ok(text) => self.search(text, folded, false, scratch, fuel),
                    Err(_) => Ok(false),
                };
            }
            places[count] = at as u32;
            count += 1;
            end = at;
            rest = &rest[..run];
            last = false;
        }
        place(head, folded, 0, captures);
        let mut pos = head_width;
        let mut n = count;
        let mut rest = tail;
        while let Some((run, after)) = rest.split_first() {
            let piece_len = after
                .iter()
                .position(|op| matches!(op, Op::Run { .. }))
                .unwrap_or(after.len());
            n -= 1;
            let at = places[n] as usize;
            if let Op::Run { save: true, .. } = run {
                captures.push((pos as u32, at as u32));
            }
            let piece = &after[..piece_len];
            place(piece, folded, at, captures);
            pos = at + width(piece);
            rest = &after[piece_len..];
        }
        Ok(true)
    }

    /// Backtracking over (element, position), each pair visited once unless there are back matches.
    fn search(
        &self,
        subject: &str,
        folded: &[u8],
        back: bool,
        scratch: &mut Scratch,
        fuel: &mut u64,
    ) -> Result<bool, OutOfFuel> {
        let stride = folded.len() + 1;
        let Scratch {
            captures,
            seen,
            jobs,
            slots,
        } = scratch;
        seen.clear();
        if !back {
            seen.resize((2 * self.ops.len() * stride).div_ceil(64), 0);
        }
        slots.clear();
        slots.resize(self.fields(), (0, 0));
        jobs.clear();
        jobs.push(Job::Enter {
            op: 0,
            pos: 0,
            field: 0,
        });
        // whether this (element, in a run or not, position) was tried before without success
        let mut tried = |op: usize, in_run: bool, pos: usize| {
            let bit = (2 * op + usize::from(in_run)) * stride + pos;
            match seen.get_mut(bit / 64) {
                Some(word) if *word >> (bit % 64) & 1 == 1 => true,
                Some(word) => {
                    *word |= 1 << (bit % 64);
                    false
                }
                None => false,
            }
        };
        while let Some(job) = jobs.pop() {
            *fuel = fuel.saturating_sub(1);
            if *fuel == 0 {
                return Err(OutOfFuel);
            }
            match job {
                Job::Restore { field, old } => slots[field as usize] = old,
                Job::Enter { op, pos, field } => {
                    let Some(current) = self.ops.get(op as usize) else {
                        if pos as usize == folded.len() {
                            captures.clear();
                            captures.extend_from_slice(slots);
                            return Ok(true);
                        }
                        continue;
                    };
                    if !back && tried(op as usize, false, pos as usize) {
                        continue;
                    }
                    let rest = &folded[pos as usize..];
                    let (end, save) = match current {
                        Op::Text(text) => (rest.starts_with(text).then_some(text.len()), false),
                        Op::One { class, save } => (
                            char_at(subject, pos as usize)
                                .filter(|&c| class.contains(c))
                                .map(char::len_utf8),
                            *save,
                        ),
                        Op::Back { field: n, save } if u16::from(*n) < field => {
                            let (a, b) = slots[*n as usize];
                            let text = &folded[a as usize..b as usize];
                            (rest.starts_with(text).then_some(text.len()), *save)
                        }
                        Op::Back { .. } => (None, false),
                        Op::Ip(net) => (longest_address(rest, *net), true),
                        Op::Run { save, .. } => {
                            if *save {
                                jobs.push(Job::Restore {
                                    field,
                                    old: slots[field as usize],
                                });
                                slots[field as usize] = (pos, pos);
                            }
                            jobs.push(Job::Loop { op, pos, field });
                            continue;
                        }
                    };
                    let Some(len) = end else { continue };
                    let end = pos + len as u32;
                    if save {
                        jobs.push(Job::Restore {
                            field,
                            old: slots[field as usize],
                        });
                        slots[field as usize] = (pos, end);
                    }
                    jobs.push(Job::Enter {
                        op: op + 1,
                        pos: end,
                        field: field + u16::from(save),
                    });
                }
                Job::Loop { op, pos, field } => {
                    if !back && tried(op as usize, true, pos as usize) {
                        continue;
                    }
                    let Some(Op::Run { class, lazy, .. }) = self.ops.get(op as usize) else {
                        continue;
                    };
                    let more = char_at(subject, pos as usize).filter(|&c| class.contains(c));
                    let stay = more.map(|c| Job::Loop {
                        op,
                        pos: pos + c.len_utf8() as u32,
                        field,
                    });
                    let leave = Job::Leave { op, pos, field };
                    // what goes on the stack last is tried first
                    if *lazy {
                        jobs.extend(stay);
                        jobs.push(leave);
                    } else {
                        jobs.push(leave);
                        jobs.extend(stay);
                    }
                }
                Job::Leave { op, pos, field } => {
                    let save = matches!(self.ops.get(op as usize), Some(Op::Run { save: true, .. }));
                    if save {
                        slots[field as usize].1 = pos;
                    }
                    jobs.push(Job::Enter {
                        op: op + 1,
                        pos,
                        field: field + u16::from(save),
                    });
                }
            }
        }
        Ok(false)
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

#[derive(Debug, Clone, Copy)]
enum Job {
    /// Match element `op` at `pos`; `field` fields were saved so far.
    Enter { op: u32, pos: u32, field: u16 },
    /// Within a run.
    Loop { op: u32, pos: u32, field: u16 },
    /// End a run here.
    Leave { op: u32, pos: u32, field: u16 },
    /// Undo what a branch that failed has saved.
    Restore { field: u16, old: (u32, u32) },
}

fn char_at(subject: &str, pos: usize) -> Option<char> {
    subject.get(pos..)?.chars().next()
}

/// Width in bytes of elements that have one (on an ASCII subject).
fn width(piece: &[Op]) -> usize {
    piece
        .iter()
        .map(|op| if let Op::Text(text) = op { text.len() } else { 1 })
        .sum()
}

/// Whether fixed-width elements match right at `at`; the caller has checked the width.
fn fits(piece: &[Op], folded: &[u8], mut at: usize) -> bool {
    for op in piece {
        match op {
            Op::Text(text) => {
                if folded[at..at + text.len()] != **text {
                    return false;
                }
                at += text.len();
            }
            Op::One { class, .. } => {
                if !class.contains(char::from(folded[at])) {
                    return false;
                }
                at += 1;
            }
            _ => return false,
        }
    }
    true
}

/// The rightmost place from `low` up to `high` where a piece matches.
fn rfind(
    piece: &[Op],
    folded: &[u8],
    low: usize,
    high: usize,
    fuel: &mut u64,
) -> Result<Option<usize>, OutOfFuel> {
    if let [Op::Text(text)] = piece {
        *fuel = fuel.saturating_sub((high - low) as u64 / 64);
        let area = &folded[low..high + text.len()];
        let found = match **text {
            [byte] => memchr::memrchr(byte, area),
            _ => memchr::memmem::rfind(area, text),
        };
        return Ok(found.map(|i| low + i));
    }
    // the longest that comparing the piece at one place can take
    let cost = (piece.len() + width(piece) / 16) as u64;
    let mut burnt = 0;
    for at in (low..=high).rev() {
        if fits(piece, folded, at) {
            return Ok(Some(at));
        }
        burnt += cost;
        if burnt >= 1024 {
            *fuel = fuel.saturating_sub(burnt / 16);
            burnt %= 16;
            if *fuel == 0 {
                return Err(OutOfFuel);
            }
        }
    }
    Ok(None)
}

/// Records the fields of a piece that fits at `at`; true if it fits.
fn place(piece: &[Op], folded: &[u8], mut at: usize, captures: &mut Captures) -> bool {
    if !fits(piece, folded, at) {
        return false;
    }
    for op in piece {
        match op {
            Op::Text(text) => at += text.len(),
            Op::One { save, .. } => {
                if *save {
                    captures.push((at as u32, at as u32 + 1));
                }
                at += 1;
            }
            _ => {}
        }
    }
    true
}

/// The whole text as an address.
pub(crate) fn parse_address(text: &[u8]) -> Option<IpAddr> {
    if text.len() > ADDRESS_LIMIT || !text.first().is_some_and(|b| b.is_ascii_hexdigit() || *b == b':') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Length of the longest text at the start of `rest` that reads as an address in the network.
fn longest_address(rest: &[u8], net: IpNet) -> Option<usize> {
    address_lengths(rest, net.v6).find(|&len| parse_address(&rest[..len]).is_some_and(|a| net.contains(a)))
}

/// Lengths of text at the start of `rest` that might read as an address, longest first.
pub(crate) fn address_lengths(rest: &[u8], v6: bool) -> impl Iterator<Item = usize> {
    let part = |b: &u8| {
        if v6 {
            b.is_ascii_hexdigit() || *b == b':' || *b == b'.'
        } else {
            b.is_ascii_digit() || *b == b'.'
        }
    };
    let longest = rest
        .iter()
        .take(if v6 { ADDRESS_LIMIT } else { 15 })
        .take_while(|b| part(b))
        .count();
    let shortest = if v6 { 2 } else { 7 };
    (shortest..=longest).rev()
}

/// Family and leading bits of an address, as a network of that length would have them.
pub(crate) fn network_of(address: IpAddr, prefix: u8) -> IpNet {
    let (v6, bits) = address_bits(address);
    IpNet {
        v6,
        bits: mask(bits, v6, prefix),
        prefix,
    }
}
