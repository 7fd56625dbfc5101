//! The four recipient tables: `ORIG_SEND_ACCESS`, `SEND_ACCESS`, `ORIG_MAIL_ACCESS`, `MAIL_ACCESS`.
//!
//! One probe a recipient. Options append fields in this order: `ACCESS_ORCPT`, `ACCESS_COUNTS`,
//! `INCLUDE_CONVERSIONTAG`. Counts are `rcpt-to-count/total-recipient-count/`, without the expansion count
//! of later releases. The spare fields of later releases, whose order is not known, are not written.
//!
//! Source: access specification 3.5 and 4.

use policy::mapping::FlagSet;
use policy::options::Options;

use super::facts::{RecipientFacts, SessionFacts};
use super::probe::Probe;
use super::{Point, PolicyPoint};

macro_rules! recipient_point {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name<'a> {
            /// The session.
            pub session: &'a SessionFacts,
            /// The recipient.
            pub recipient: &'a RecipientFacts<'a>,
        }

        impl PolicyPoint for $name<'_> {
            const POINT: Point = Point::$name;

            fn flags(&self) -> FlagSet {
                flags(self.session, self.recipient)
            }

            fn probe(&self, options: &Options, out: &mut String) {
                probe(Self::POINT, self.session, self.recipient, options, out);
            }
        }
    };
}

recipient_point! {
    /// RCPT TO, after rewriting and before alias expansion.
    ///
    /// Probe: `src-channel|from|dst-channel|to`. Input flags: A, T, E, L, D, F, S.
    OrigSendAccess
}

recipient_point! {
    /// An address that alias expansion gave.
    ///
    /// Probe: `src-channel|from|dst-channel|to`. Input flags: A, T, E, L, D, F, S.
    SendAccess
}

recipient_point! {
    /// RCPT TO, after rewriting and before alias expansion, with connection data.
    ///
    /// Probe: `transport|app-info|submit-type|src-channel|from|dst-channel|to`. Input flags: A, T, E, L, D,
    /// F, S.
    OrigMailAccess
}

recipient_point! {
    /// An address that alias expansion gave, with connection data.
    ///
    /// Probe: `transport|app-info|submit-type|src-channel|from|dst-channel|to`. Input flags: A, T, E, L, D,
    /// F, S.
    MailAccess
}

/// A, authenticated; T, TLS; E, EHLO; L, LMTP; D, F, S, notification of delay, failure, success asked for.
fn flags(session: &SessionFacts, recipient: &RecipientFacts<'_>) -> FlagSet {
    let mut flags = session.flags();
    let notify = recipient.notify;
    for (flag, set) in [
        ('E', session.esmtp),
        ('L', session.lmtp),
        ('D', notify.delay),
        ('F', notify.failure),
        ('S', notify.success),
    ] {
        if set {
            flags.insert(flag);
        }
    }
    flags
}

fn probe(
    point: Point,
    session: &SessionFacts,
    recipient: &RecipientFacts<'_>,
    options: &Options,
    out: &mut String,
) {
    let mut probe = Probe::with(out, options);
    if matches!(point, Point::OrigMailAccess | Point::MailAccess) {
        probe
            .transport(session)
            .application(session)
            .own(&session.submit_type);
    }
    probe
        .own(&session.channel)
        .data(recipient.from)
        .own(recipient.channel)
        .data(recipient.to);
    let bit = match point {
        Point::OrigSendAccess => 2,
        Point::SendAccess => 4,
        Point::OrigMailAccess => 8,
        _ => 16,
    };
    if options.number("ACCESS_ORCPT", 0) & (1 | bit) != 0 {
        match recipient.orcpt {
            Some(orcpt) => probe.data(orcpt),
            None => probe.data_after("rfc822;", recipient.submitted),
        };
    }
    if options.number("ACCESS_COUNTS", 0) & (1 | bit) != 0 {
        let (commands, total) = (recipient.rcpt_count, recipient.total_recipients);
        probe.number(format_args!("{commands}/{total}/"));
    }
    // its bits stand two places higher; bits 0 to 2 belong to tables outside access
    if options.number("INCLUDE_CONVERSIONTAG", 0) & (bit << 2) != 0 {
        probe.tags(recipient.tags);
    }
}
