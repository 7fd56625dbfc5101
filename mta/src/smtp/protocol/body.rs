//! Messages: DATA and BDAT from their first octet to their reply.

use bytes::{Buf, Bytes, BytesMut};

use super::{Event, Notice, Pending, Reply, Request, Server, State};
use crate::smtp::wire::{BodyFault, BodyReader, Transfer};

/// A message on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    reader: BodyReader,
    /// Text of the message not yet handed over.
    piece: BytesMut,
    /// How much more comes.
    part: Part,
}

/// The part of a message that is being read.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// DATA: up to the final dot.
    Dots,
    /// BDAT: octets announced, octets still to come, and whether they are the last.
    Chunk { size: u64, left: u64, last: bool },
}

/// Where reading has come to.
enum Progress {
    Starved,
    More,
    Piece,
    ChunkEnd(u64),
    End,
}

impl Incoming {
    pub(super) fn new(transfer: Transfer, limit: u64) -> Incoming {
        Incoming {
            reader: BodyReader::new(transfer, limit),
            piece: BytesMut::new(),
            part: Part::Dots,
        }
    }

    fn announce(&mut self, size: u64, last: bool) {
        self.part = Part::Chunk {
            size,
            left: size,
            last,
        };
        self.reader.announce(size);
    }

    fn take_piece(&mut self) -> Bytes {
        let piece = self.piece.split().freeze();
        self.piece.reserve(piece.len());
        piece
    }

    /// Reads from `input`, at most to the end of a piece of `length` octets.
    fn read(&mut self, input: &mut BytesMut, length: usize) -> Progress {
        let room = length.saturating_sub(self.piece.len()).min(input.len());
        let mut ended = false;
        match &mut self.part {
            Part::Dots => {
                let (used, end) = self
                    .reader
                    .read(input.get(..room).unwrap_or_default(), &mut self.piece);
                input.advance(used);
                ended = end;
                if used == 0 {
                    return Progress::Starved;
                }
            }
            Part::Chunk { size, left, last } => {
                let room = usize::try_from(*left).unwrap_or(usize::MAX).min(room);
                let (used, _) = self
                    .reader
                    .read(input.get(..room).unwrap_or_default(), &mut self.piece);
                input.advance(used);
                *left = left.saturating_sub(used as u64);
                if *left == 0 && *last {
                    self.reader.finish();
                    ended = true;
                } else if *left == 0 {
                    return Progress::ChunkEnd(*size);
                } else if used == 0 {
                    return Progress::Starved;
                }
            }
        }
        if self.reader.fault().is_some() {
            self.piece = BytesMut::new();
        }
        match ended {
            true => Progress::End,
            false if self.piece.len() >= length => Progress::Piece,
            false => Progress::More,
        }
    }
}

impl Server {
    /// Reads what there is of the message; false if more input is needed.
    pub(super) fn read_body(&mut self) -> bool {
        let Some(incoming) = self.transaction.as_mut().and_then(|one| one.incoming.as_mut()) else {
            self.state = State::Command;
            return true;
        };
        let progress = incoming.read(&mut self.input, self.limits.piece);
        let fault = incoming.reader.fault();
        match progress {
            Progress::Starved => return false,
            Progress::More => {}
            Progress::Piece => {
                let piece = incoming.take_piece();
                self.events.push_back(Event::Body(piece));
            }
            Progress::ChunkEnd(size) => {
                self.state = State::Command;
                // A full piece would leave no room for the next chunk.
                if fault.is_none() && incoming.piece.len() >= self.limits.piece {
                    let piece = incoming.take_piece();
                    self.events.push_back(Event::Body(piece));
                }
                match fault {
                    Some(fault) => self.refuse_message(fault, false),
                    None => self.push(&Reply::new(250, (2, 5, 0), format!("{size} octets received."))),
                }
            }
            Progress::End => {
                self.state = State::Command;
                match fault {
                    Some(fault) => self.refuse_message(fault, true),
                    None => {
                        let piece = incoming.piece.split().freeze();
                        let counts = incoming.reader.counts();
                        if !piece.is_empty() {
                            self.events.push_back(Event::Body(piece));
                        }
                        self.ask(Pending::Message, Request::Message(counts));
                    }
                }
            }
        }
        true
    }

    /// The session has answered the first BDAT.
    pub(super) fn begin_bdat(&mut self, size: u64, last: bool, reply: Reply) {
        let limit = self.size_limit();
        match &mut self.transaction {
            Some(transaction) if reply.is_positive() => {
                transaction.incoming = Some(Incoming::new(transaction.transfer(true), limit));
                self.next_chunk(size, last);
            }
            _ => {
                self.transaction = None;
                self.pipeline_broken = !last;
                self.state = State::Skip {
                    left: size,
                    reply,
                    line: None,
                };
            }
        }
    }

    /// A BDAT of a message that has begun.
    pub(super) fn next_chunk(&mut self, size: u64, last: bool) {
        if let Some(incoming) = self.transaction.as_mut().and_then(|one| one.incoming.as_mut()) {
            incoming.announce(size, last);
            self.state = State::Body;
        }
    }

    /// Consumes the octets of a refused BDAT; false if more input is needed.
    pub(super) fn skip_octets(&mut self) -> bool {
        let State::Skip { left, .. } = &mut self.state else {
            return true;
        };
        let used = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
        self.input.advance(used);
        *left = left.saturating_sub(used as u64);
        if *left > 0 {
            return false;
        }
        if let State::Skip { reply, line, .. } = std::mem::replace(&mut self.state, State::Command) {
            match line {
                Some(line) => self.bad(&line, reply),
                None => self.push(&reply),
            }
        }
        true
    }

    /// Refuses the message for what it holds, and ends the transaction. `end`: it was there in full, which
    /// in LMTP makes a reply per recipient.
    fn refuse_message(&mut self, fault: BodyFault, end: bool) {
        let reply = match fault {
            BodyFault::TooLarge { .. } => Reply::new(552, (5, 3, 4), fault.to_string()),
            _ => Reply::new(550, (5, 6, 0), fault.to_string()),
        };
        let Some(transaction) = &self.transaction else {
            return;
        };
        let copies = if end && self.features.lmtp {
            transaction.accepted
        } else {
            1
        };
        let counts = transaction
            .incoming
            .as_ref()
            .map(|incoming| incoming.reader.counts());
        for _ in 0..copies {
            self.push(&reply);
        }
        self.transaction = None;
        self.pipeline_broken = !end;
        let counts = counts.unwrap_or_default();
        self.events
            .push_back(Event::Notice(Notice::MessageRefused { reply, counts }));
    }
}
