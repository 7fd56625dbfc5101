//! Matching without backtracking: pieces of fixed width between greedy runs.

use super::{Captures, Op, OutOfFuel, Pattern, Scratch};

impl Pattern {
    /// Pieces of fixed width between greedy runs, placed from the right. The rightmost place of each
    /// piece leaves most room to the runs on its left, which is what the leftmost run wants.
    pub(super) fn match_pieces(
        &self,
        folded: &[u8],
        scratch: &mut Scratch,
        fuel: &mut u64,
    ) -> Result<bool, OutOfFuel> {
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
