//! The general way to match: a backtracking search over pairs of element and position.
//!
//! Its memory is bounded, whatever the subject: at most two jobs an element wait at a time, since a run keeps
//! all the places where it could end as one job; what was tried is remembered up to [`SEEN_LIMIT`].

use super::address::longest_address;
use super::{Op, OutOfFuel, Pattern, Scratch};

/// Words of 64 pairs that a search remembers; more than that, a very long subject, is bounded by fuel alone.
pub(super) const SEEN_LIMIT: usize = 1 << 20;

/// What a search has still to try.
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    /// Match element `op` at `pos`; `field` fields were saved so far.
    Enter { op: u32, pos: u32, field: u16 },
    /// End a greedy run at `pos`, or else sooner, down to `start`.
    Shrink {
        op: u32,
        start: u32,
        pos: u32,
        field: u16,
    },
    /// End a lazy run at `pos`, or else later.
    Grow { op: u32, pos: u32, field: u16 },
    /// Undo what a branch that failed has saved.
    Restore { field: u16, old: (u32, u32) },
}

impl Pattern {
    /// Backtracking over (element, position), each pair visited once unless there are back matches.
    pub(super) fn search(
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
        let words = self.ops.len().saturating_mul(2 * stride).div_ceil(64);
        if !back && words <= SEEN_LIMIT {
            *fuel = fuel.saturating_sub(words as u64 / 16);
            seen.resize(words, 0);
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
        let mut tried = |op: u32, in_run: bool, pos: u32| {
            let bit = (2 * op as usize + usize::from(in_run)) * stride + pos as usize;
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
            // what goes on the stack last is tried first
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
                    if tried(op, false, pos) {
                        continue;
                    }
                    let rest = &folded[pos as usize..];
                    let (end, save) = match current {
                        Op::Text(text) => (rest.starts_with(text).then_some(text.len()), false),
                        Op::One { class, save } => (
                            char_at(subject, pos)
                                .filter(|&c| class.contains(c))
                                .map(char::len_utf8),
                            *save,
                        ),
                        Op::Back { field: n, save } if u16::from(*n) < field => {
                            let (a, b) = slots[*n as usize];
                            let text = &folded[a as usize..b as usize];
                            if text.len() <= rest.len() {
                                *fuel = fuel.saturating_sub(text.len() as u64 / 64);
                            }
                            (rest.starts_with(text).then_some(text.len()), *save)
                        }
                        Op::Back { .. } => (None, false),
                        Op::Ip(net) => (longest_address(rest, *net), true),
                        Op::Run { class, lazy, save } => {
                            if *save {
                                jobs.push(Job::Restore {
                                    field,
                                    old: slots[field as usize],
                                });
                                slots[field as usize] = (pos, pos);
                            }
                            if *lazy {
                                jobs.push(Job::Grow { op, pos, field });
                                continue;
                            }
                            if tried(op, true, pos) {
                                continue;
                            }
                            let mut end = pos;
                            while let Some(c) = char_at(subject, end).filter(|&c| class.contains(c)) {
                                let next = end + c.len_utf8() as u32;
                                // from there on an earlier branch has tried all
                                if tried(op, true, next) {
                                    break;
                                }
                                end = next;
                            }
                            *fuel = fuel.saturating_sub(u64::from(end - pos));
                            jobs.push(Job::Shrink {
                                op,
                                start: pos,
                                pos: end,
                                field,
                            });
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
                Job::Shrink {
                    op,
                    start,
                    pos,
                    field,
                } => {
                    if pos > start {
                        let before = (start..pos).rev().find(|&p| subject.is_char_boundary(p as usize));
                        jobs.extend(before.map(|pos| Job::Shrink {
                            op,
                            start,
                            pos,
                            field,
                        }));
                    }
                    jobs.push(self.leave(op, pos, field, slots));
                }
                Job::Grow { op, pos, field } => {
                    if tried(op, true, pos) {
                        continue;
                    }
                    let Some(Op::Run { class, .. }) = self.ops.get(op as usize) else {
                        continue;
                    };
                    let more = char_at(subject, pos).filter(|&c| class.contains(c));
                    jobs.extend(more.map(|c| Job::Grow {
                        op,
                        pos: pos + c.len_utf8() as u32,
                        field,
                    }));
                    jobs.push(self.leave(op, pos, field, slots));
                }
            }
        }
        Ok(false)
    }

    /// Ends a run at `pos`: the element after it is next.
    fn leave(&self, op: u32, pos: u32, field: u16, slots: &mut [(u32, u32)]) -> Job {
        let save = matches!(self.ops.get(op as usize), Some(Op::Run { save: true, .. }));
        if save {
            slots[field as usize].1 = pos;
        }
        Job::Enter {
            op: op + 1,
            pos,
            field: field + u16::from(save),
        }
    }
}

fn char_at(subject: &str, pos: u32) -> Option<char> {
    subject.get(pos as usize..)?.chars().next()
}

#[cfg(test)]
mod tests {
    use grammar::mapping::parse_pattern;

    use super::*;

    #[test]
    fn memory_is_bounded_on_any_subject() {
        let subject = "a".repeat(2 << 20);
        for text in [
            "$A*$A*$A*b*",
            "$_*a$_*b*",
            "*$0*$1*b*",
            "$[a]*é*",
            &"$A*$_*".repeat(200),
        ] {
            let mut diagnostics = Vec::new();
            let elements = parse_pattern(text, &|_| grammar::Span::default(), &mut diagnostics);
            let (pattern, mut scratch) = (Pattern::new(&elements), Scratch::default());
            let _ = pattern.matches(&subject, subject.as_bytes(), &mut scratch, &mut 10_000_000);
            assert!(scratch.seen.capacity() <= SEEN_LIMIT, "{text}");
            let jobs = scratch.jobs.capacity();
            assert!(jobs <= 8 + 4 * elements.len(), "{text}: {jobs} jobs");
        }
    }
}
