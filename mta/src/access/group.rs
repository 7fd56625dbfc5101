//! Groups of the system, for the checks that FROM_ACCESS and the recipient tables ask for.

/// Whether a system user is in a group, by /etc/passwd and /etc/group.
pub fn in_group((user, group): &(String, String)) -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let groups = read("/etc/group");
    let Some(line) = groups.lines().find(|l| l.split(':').next() == Some(group)) else {
        return false;
    };
    let mut fields = line.split(':');
    let id = fields.nth(2).unwrap_or("");
    if fields
        .next()
        .unwrap_or("")
        .split(',')
        .any(|member| member == user)
    {
        return true;
    }
    let passwd = read("/etc/passwd");
    passwd.lines().any(|l| {
        let mut fields = l.split(':');
        fields.next() == Some(user) && fields.nth(2) == Some(id)
    })
}
