//! What a channel says about its SMTP client: keywords, and the time-outs of its option file.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

/// Which protocol is spoken (channel keywords `smtp`, `lmtp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// SMTP: one reply for all recipients after the message.
    #[default]
    Smtp,
    /// LMTP (RFC 2033): LHLO, and one reply a recipient.
    Lmtp,
}

/// How the client introduces itself (keywords `ehlo`, `noehlo`, `checkehlo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hello {
    /// No keyword: EHLO unless the banner contains `fire away`.
    #[default]
    Special,
    /// `ehlo`: EHLO always.
    Ehlo,
    /// `noehlo`: HELO always.
    Helo,
    /// `checkehlo`: EHLO only if the banner contains `ESMTP`.
    Check,
}

/// Use of STARTTLS (keywords `notlsclient`, `maytlsclient`, `musttlsclient`).
#[derive(Debug, Clone, Default)]
pub enum Tls {
    /// Never.
    #[default]
    None,
    /// Where offered; without it otherwise. A configuration for this is
    /// [`opportunistic_client`](crate::tls::opportunistic_client).
    May(Arc<ClientConfig>),
    /// Always, verified as the configuration says; no TLS, no delivery.
    Must(Arc<ClientConfig>),
}

/// What to do with 8-bit data when the next hop lacks 8BITMIME (keywords of the `eightbit` family).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EightBit {
    /// `eightnegotiate`: convert.
    #[default]
    Negotiate,
    /// `eightstrict`: refuse.
    Strict,
    /// `eightbit`: send as it is.
    Always,
    /// `sevenbit`: convert whatever is offered.
    Never,
}

/// Time-outs, each with the option it stands for; defaults as in queue specification 9.3.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// TCP connection to one address: 2 minutes.
    pub connect: Duration,
    /// The TLS handshake: 2 minutes.
    pub handshake: Duration,
    /// Sending a command (COMMAND_TRANSMIT_TIME): 10 minutes.
    pub command_transmit: Duration,
    /// Sending MAIL, with what is pipelined behind it (MAIL_TRANSMIT_TIME): 10 minutes.
    pub mail_transmit: Duration,
    /// Sending RCPT (RCPT_TRANSMIT_TIME): 10 minutes.
    pub rcpt_transmit: Duration,
    /// Sending each window of content (DATA_TRANSMIT_TIME): 10 minutes.
    pub data_transmit: Duration,
    /// Sending the last window with the final dot (DOT_TRANSMIT_TIME): 10 minutes.
    pub dot_transmit: Duration,
    /// Banner and replies to other commands (STATUS_RECEIVE_TIME): 10 minutes.
    pub status_receive: Duration,
    /// The reply to MAIL (STATUS_MAIL_RECEIVE_TIME): 10 minutes.
    pub status_mail_receive: Duration,
    /// The reply to RCPT (STATUS_RCPT_RECEIVE_TIME): 10 minutes.
    pub status_rcpt_receive: Duration,
    /// The reply to the dot (STATUS_DATA_RECEIVE_TIME): 10 minutes, and in addition the next three.
    pub status_data_receive: Duration,
    /// A recipient (STATUS_DATA_RECV_PER_ADDR_TIME): 5 seconds.
    pub status_data_per_recipient: Duration,
    /// A block of 1024 octets (STATUS_DATA_RECV_PER_BLOCK_TIME): 0.1 seconds.
    pub status_data_per_block: Duration,
    /// A recipient and block (STATUS_DATA_RECV_PER_ADDR_PER_BLOCK_TIME): 0.2 seconds.
    pub status_data_per_recipient_block: Duration,
    /// The reply to QUIT: 5 seconds; nothing depends on it.
    pub quit: Duration,
    /// The whole session (SESSION_TIME): none.
    pub session: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let usual = Duration::from_secs(600);
        Timeouts {
            connect: Duration::from_secs(120),
            handshake: Duration::from_secs(120),
            command_transmit: usual,
            mail_transmit: usual,
            rcpt_transmit: usual,
            data_transmit: usual,
            dot_transmit: usual,
            status_receive: usual,
            status_mail_receive: usual,
            status_rcpt_receive: usual,
            status_data_receive: usual,
            status_data_per_recipient: Duration::from_secs(5),
            status_data_per_block: Duration::from_millis(100),
            status_data_per_recipient_block: Duration::from_millis(200),
            quit: Duration::from_secs(5),
            session: None,
        }
    }
}

/// However many recipients and blocks there are, the reply to the dot is awaited no longer than this.
pub const MAX_STATUS_DATA: Duration = Duration::from_secs(2 * 3600);

impl Timeouts {
    /// All steps with the same time-out.
    pub fn uniform(time: Duration) -> Timeouts {
        Timeouts {
            connect: time,
            handshake: time,
            command_transmit: time,
            mail_transmit: time,
            rcpt_transmit: time,
            data_transmit: time,
            dot_transmit: time,
            status_receive: time,
            status_mail_receive: time,
            status_rcpt_receive: time,
            status_data_receive: time,
            status_data_per_recipient: Duration::ZERO,
            status_data_per_block: Duration::ZERO,
            status_data_per_recipient_block: Duration::ZERO,
            quit: time,
            session: None,
        }
    }

    /// Time for the reply to the dot; at most [`MAX_STATUS_DATA`] unless the base value alone is more.
    pub fn status_data(&self, recipients: usize, octets: usize) -> Duration {
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        let blocks = u32::try_from(octets.div_ceil(1024)).unwrap_or(u32::MAX);
        let extra = self
            .status_data_per_recipient
            .saturating_mul(recipients)
            .saturating_add(self.status_data_per_block.saturating_mul(blocks))
            .saturating_add(
                self.status_data_per_recipient_block
                    .saturating_mul(recipients.saturating_mul(blocks)),
            );
        let sum = self.status_data_receive.saturating_add(extra);
        sum.min(MAX_STATUS_DATA.max(self.status_data_receive))
    }
}

/// Everything a channel decides about its client.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Protocol.
    pub protocol: Protocol,
    /// Name given in EHLO; a fully qualified host name or a literal.
    pub helo: String,
    /// EHLO or HELO.
    pub hello: Hello,
    /// STARTTLS.
    pub tls: Tls,
    /// Local address (`interfaceaddress`).
    pub bind: Option<IpAddr>,
    /// Our own XLOOP mark (`loopcheck`); a server that shows it is this one.
    pub loop_mark: Option<String>,
    /// 8-bit data.
    pub eight_bit: EightBit,
    /// Texts of 552 replies to RCPT that are permanent (522_PERMANENT_ERROR_STRING), without the code.
    pub permanent_552: Vec<String>,
    /// Time-outs.
    pub timeouts: Timeouts,
}
