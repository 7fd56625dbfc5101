//! The limits of a connection, and what is counted against them.

/// Octets of a bad command that are shown to the session.
pub(super) const SHOWN_OF_BAD_LINE: usize = 256;

/// Limits of a connection. In counts, 0 means no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command line with CRLF; 512 (RFC 5321 4.5.3.1.4). At least 64.
    pub command_line: usize,
    /// The same for MAIL, RCPT and verbs that begin with X; 2048: room for SIZE, DSN, AUTH and others.
    pub envelope_line: usize,
    /// The same for AUTH and the lines of its exchange; 12288 (RFC 4954 4).
    pub auth_line: usize,
    /// Octets of input that may wait; 65536. At least the longest line.
    pub input: usize,
    /// Octets of replies that may wait to be sent before commands are left unread; 65536.
    pub output: usize,
    /// Octets of one piece of a message; 65536.
    pub piece: usize,
    /// Octets of a message, besides [`Features::size`](super::Features::size); 0.
    pub message_size: u64,
    /// Accepted recipients in a transaction, excess gets 452 (ALLOW_RECIPIENTS_PER_TRANSACTION,
    /// `recipientlimit`); 128.
    pub recipients: u32,
    /// Refuse excess recipients with 550 instead (bit 4 of USE_PERMANENT_ERROR); false.
    pub permanent_recipient_limit: bool,
    /// Transactions in a session, excess gets 450 at MAIL (`transactionlimit`); 0.
    pub transactions: u32,
    /// Commands of any kind before 421 (`disconnectcommandlimit`); 0.
    pub commands: u32,
    /// The bad command that is answered by 421 (`disconnectbadcommandlimit`); 20.
    pub bad_commands: u32,
    /// The failed AUTH after which the connection is closed (`disconnectbadauthlimit`); 3.
    pub bad_auths: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            command_line: 512,
            envelope_line: 2048,
            auth_line: 12288,
            input: 65536,
            output: 65536,
            piece: 65536,
            message_size: 0,
            recipients: 128,
            permanent_recipient_limit: false,
            transactions: 0,
            commands: 0,
            bad_commands: 20,
            bad_auths: 3,
        }
    }
}

impl Limits {
    /// The same, with values that would stop the machine raised to those that do not.
    pub(super) fn sane(mut self) -> Limits {
        self.command_line = self.command_line.max(64);
        self.envelope_line = self.envelope_line.max(64);
        self.auth_line = self.auth_line.max(64);
        let longest = self.command_line.max(self.envelope_line).max(self.auth_line);
        self.input = self.input.max(longest + 1);
        self.piece = self.piece.max(1);
        self
    }

    /// Octets that the command line may have that starts with `start`.
    pub(super) fn line(&self, start: &[u8]) -> usize {
        let verb = start.get(..4).unwrap_or_default();
        if verb.eq_ignore_ascii_case(b"AUTH") {
            self.auth_line
        } else if verb.eq_ignore_ascii_case(b"MAIL")
            || verb.eq_ignore_ascii_case(b"RCPT")
            || verb
                .first()
                .is_some_and(|first| first.eq_ignore_ascii_case(&b'X'))
        {
            self.envelope_line
        } else {
            self.command_line
        }
    }
}

/// What was counted in a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Lines that were commands or were meant to be.
    pub(super) commands: u32,
    /// Of these, bad ones.
    pub(super) bad_commands: u32,
    /// AUTHs that failed.
    pub(super) bad_auths: u32,
    /// MAILs accepted.
    pub(super) transactions: u32,
}
