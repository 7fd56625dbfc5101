//! Which flags mean something in which table.

use policy::mapping::FlagSet;

use super::Point;

/// The flags with a meaning, upper case.
fn known(point: Point) -> &'static str {
    match point {
        Point::FromAccess => "YNFBHVZ!UJKI<>DTAGSX,()",
        Point::OrigSendAccess | Point::SendAccess | Point::OrigMailAccess | Point::MailAccess => {
            "YNFBHVZUI<>DTAGX,"
        }
        Point::PortAccess => "YNF<>T",
        Point::IpAccess => "YNFIA",
        Point::DequeueAccess => "YNFS",
        Point::TlsAccess => "YNF<>SB",
        Point::EtrnAccess => "YNFSD",
        Point::AuthRewrite => "JKYTZNF",
        Point::InternalIp => "YNTF",
        Point::AuthAccess => "YNF",
    }
}

/// Whether a result has any flag of the table.
pub(super) fn means_something(point: Point, flags: FlagSet) -> bool {
    known(point).chars().any(|flag| flags.has(flag))
}

/// The flags of a set that mean nothing in a table, for a warning; none where the table is not one of
/// [`Point::ALL`].
pub fn unknown_flags(table: &str, flags: FlagSet) -> Vec<char> {
    let Some(point) = Point::by_table(table) else {
        return Vec::new();
    };
    flags
        .iter()
        .filter(|flag| !known(point).contains(flag.to_ascii_uppercase()))
        .collect()
}
