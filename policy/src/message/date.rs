//! Dates of header fields and their parts (RFC 5260, 4).

use mail_parser::DateTime;

/// A valid instant with the zone it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Minutes east of UTC.
    pub zone: i32,
}

/// Parts of a date by name, as scripts write them.
pub const PARTS: &[&str] = &[
    "year", "month", "day", "date", "julian", "hour", "minute", "second", "time", "iso8601", "std11", "zone",
    "weekday",
];

/// Reads the date of a field: the whole body, or what follows its last semicolon.
pub fn of_field(value: &str) -> Option<Date> {
    let text = value.rsplit(';').next()?.trim();
    if !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let date = DateTime::parse_rfc822(&format!("{text}\n"))?;
    if !date.is_valid() || u32::from(date.day) > days_in_month(date.year, date.month) {
        return None;
    }
    let zone = i32::from(date.tz_hour) * 60 + i32::from(date.tz_minute);
    Some(Date {
        seconds: date.to_timestamp(),
        zone: if date.tz_before_gmt { -zone } else { zone },
    })
}

fn days_in_month(year: u16, month: u8) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Minutes of a zone such as `+0130`.
pub fn zone(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text
        .get(1..)
        .filter(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_digit()))?;
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..)?.parse().ok()?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

impl Date {
    /// The part of this name, in this date's zone; `None` where there is no such part.
    pub fn part(&self, name: &str) -> Option<String> {
        let local = DateTime::from_timestamp(self.seconds.saturating_add(i64::from(self.zone) * 60));
        let zone = |colon: &str| {
            let sign = if self.zone < 0 { '-' } else { '+' };
            let minutes = self.zone.unsigned_abs();
            format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
        };
        let date = || format!("{:04}-{:02}-{:02}", local.year, local.month, local.day);
        let time = || format!("{:02}:{:02}:{:02}", local.hour, local.minute, local.second);
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => format!("{:04}", local.year),
            "month" => format!("{:02}", local.month),
            "day" => format!("{:02}", local.day),
            "date" => date(),
            // The Modified Julian Day of 1970-01-01 is 40587.
            "julian" => (local.to_timestamp_local().div_euclid(86_400) + 40_587).to_string(),
            "hour" => format!("{:02}", local.hour),
            "minute" => format!("{:02}", local.minute),
            "second" => format!("{:02}", local.second),
            "time" => time(),
            "iso8601" if self.zone == 0 => format!("{}T{}Z", date(), time()),
            "iso8601" => format!("{}T{}{}", date(), time(), zone(":")),
            "std11" => {
                let names = (
                    mail_parser::parsers::fields::date::DOW,
                    mail_parser::parsers::fields::date::MONTH,
                );
                let day = names.0.get(local.day_of_week() as usize).unwrap_or(&"");
                let month = names
                    .1
                    .get(usize::from(local.month.saturating_sub(1)))
                    .unwrap_or(&"");
                format!(
                    "{day}, {} {month} {:04} {} {}",
                    local.day,
                    local.year,
                    time(),
                    zone("")
                )
            }
            "zone" => zone(""),
            "weekday" => local.day_of_week().to_string(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_date() {
        let date = of_field(" Tue, 01 Apr 1997 09:06:31 -0800").unwrap();
        for (part, want) in [
            ("julian", "50539"),
            ("iso8601", "1997-04-01T09:06:31-08:00"),
            ("std11", "Tue, 1 Apr 1997 09:06:31 -0800"),
            ("zone", "-0800"),
            ("weekday", "2"),
            ("Time", "09:06:31"),
        ] {
            assert_eq!(date.part(part).as_deref(), Some(want), "{part}");
        }
        assert_eq!(
            Date { zone: 0, ..date }.part("iso8601").unwrap(),
            "1997-04-01T17:06:31Z"
        );
        assert_eq!(date.part("era"), None);
    }

    #[test]
    fn refuses_what_is_no_date() {
        assert_eq!(of_field("Tue, 32 Jan 2020 00:00:00 +0000"), None);
        assert_eq!(of_field("30 Feb 2020 00:00:00 +0000"), None);
        assert_eq!(of_field("soon"), None);
        assert!(of_field("from a by b; Mon, 05 Jan 2026 03:00:00 +0000").is_some());
        assert_eq!(
            (zone("+0130"), zone("-0800"), zone("0800"), zone("+08")),
            (Some(90), Some(-480), None, None)
        );
    }
}
