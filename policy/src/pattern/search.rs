//! The general way to match: a backtracking search over pairs of element and position.

use super::address::longest_address;
use super::{Op, OutOfFuel, Pattern, Scratch};

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

#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
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
