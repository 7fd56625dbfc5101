//! What the protocol machine asks of the session and tells it.

use bytes::Bytes;

use super::reply::Reply;
use crate::smtp::command::{Hello, Mail, Rcpt};
use crate::smtp::wire::BodyCounts;

/// What [`Server::poll`](super::Server::poll) found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Send what [`Server::take_output`](super::Server::take_output) gives, read from the peer, call
    /// [`Server::input`](super::Server::input).
    NeedInput,
    /// The greeting, or the answer to the last request, has not been given yet.
    NeedAnswer,
    /// Much output is waiting: send it before going on.
    Flush,
    /// A question; nothing goes on before [`Server::answer`](super::Server::answer).
    Request(Request),
    /// A piece of the message; no answer is wanted. Drop the pieces if the message is refused in the end.
    Body(Bytes),
    /// Something was settled without the session; no answer is wanted.
    Notice(Notice),
    /// Send the output, make the TLS handshake, call
    /// [`Server::tls_established`](super::Server::tls_established); close the connection if it fails.
    StartTls,
    /// Send the output and close the connection.
    Close(CloseReason),
}

/// A question to the session. Each is answered by one [`Reply`]; a positive one (2yz, 3yz) lets the
/// transaction go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// EHLO, HELO, LHLO. The first line of a positive answer is the host line; the list of extensions is
    /// added to it. It also ends a transaction.
    Hello {
        /// Which of the three.
        hello: Hello,
        /// The client's name.
        name: String,
    },
    /// MAIL FROM.
    Mail(Mail),
    /// RCPT TO.
    Rcpt(Rcpt),
    /// DATA, or the first BDAT of a message (`chunking`). A negative answer ends the transaction. To BDAT a
    /// positive answer is not sent.
    Data {
        /// It is BDAT.
        chunking: bool,
    },
    /// The whole message has been handed over. Answer when it is durable, or refuse it. The transaction
    /// ends. LMTP: [`Server::answer_each`](super::Server::answer_each).
    Message(BodyCounts),
    /// RSET: the transaction, if any, has ended whatever the answer is.
    Rset,
    /// VRFY.
    Vrfy(String),
    /// EXPN.
    Expn(String),
    /// ETRN.
    Etrn(String),
    /// AUTH. Answer 334 to get another line, 235 for success, anything else for failure.
    Auth {
        /// Mechanism in capitals, one of those offered or of those that want TLS first.
        mechanism: String,
        /// Initial response in base64 as sent; `=` stands for an empty one.
        initial: Option<String>,
    },
    /// The line that answers a 334, in base64 as sent; may be empty. Answer as for AUTH.
    AuthResponse(String),
    /// One of the private or proxy verbs offered.
    Private {
        /// The verb in capitals.
        verb: String,
        /// What follows it.
        argument: String,
    },
}

/// Something that was settled without the session, for its log and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A command that is none, or is wrong, or comes at the wrong time (log entry `B`).
    BadCommand {
        /// The command as sent, cut and without control characters; without what may be a password.
        line: String,
        /// The reply it got.
        reply: Reply,
    },
    /// MAIL was refused by a limit.
    SenderRefused {
        /// The command.
        mail: Mail,
        /// The reply it got.
        reply: Reply,
    },
    /// RCPT was refused by a limit (log entry `J`).
    RecipientRefused {
        /// The command.
        rcpt: Rcpt,
        /// The reply it got.
        reply: Reply,
    },
    /// The message is refused for what it holds or for its size; the transaction has ended. Drop the pieces.
    MessageRefused {
        /// The reply it got (LMTP: for each recipient).
        reply: Reply,
        /// What was counted.
        counts: BodyCounts,
    },
    /// The client gave up an AUTH exchange, or sent a line too long for it: drop its state.
    AuthCancelled,
}

/// Why the connection is to be closed; its text is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// QUIT.
    #[error("client said QUIT")]
    Quit,
    /// The session gave an answer or a greeting that closes.
    #[error("closed by the answer given")]
    Answer,
    /// [`Server::shut_down`](super::Server::shut_down).
    #[error("closed by the server")]
    ShutDown,
    /// `disconnectbadcommandlimit`.
    #[error("too many bad commands")]
    BadCommands,
    /// `disconnectcommandlimit`.
    #[error("too many commands")]
    Commands,
    /// `disconnectbadauthlimit`.
    #[error("too many failed authentications")]
    BadAuths,
    /// Commands were sent in the clear behind STARTTLS.
    #[error("plaintext sent behind STARTTLS")]
    PlaintextAfterStartTls,
    /// A BDAT whose size cannot be read.
    #[error("size of BDAT not readable")]
    BdatSize,
    /// The client speaks HTTP.
    #[error("client is not a mail client")]
    NotMail,
}
