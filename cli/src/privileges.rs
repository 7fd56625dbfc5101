//! Rights that a server does not need: given up before the first thread and the first octet from outside.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Gid, Resource, Rlimit, Uid, geteuid, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// Asks for as many open files as this process may have: each session takes one. Refused, the server runs with
/// fewer sessions.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = setrlimit(Resource::Nofile, wanted);
}

/// What [`drop_privileges`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// There were none.
    None,
    /// This user's now, with the right to listen on ports under 1024.
    Owner(u32),
    /// Root, since the site belongs to root.
    Root,
}

/// Lets root become the owner of a site: of all of root's rights it keeps the one to listen on ports under 1024.
/// Only the calling thread and those that it starts later change, so it must be the only one yet.
///
/// # Errors
/// The folder cannot be read, or the system refuses; the server must not be started then.
pub fn drop_privileges(site: &Path) -> io::Result<Privileges> {
    if !geteuid().is_root() {
        return Ok(Privileges::None);
    }
    let owner = fs::metadata(site)?;
    if owner.uid() == 0 {
        return Ok(Privileges::Root);
    }
    let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    // in a container root may lack even this
    let kept = capabilities(None)?.permitted & CapabilitySet::NET_BIND_SERVICE;
    set_keep_capabilities(true)?;
    set_thread_groups(&[gid])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_no_new_privs(true)?;
    Ok(Privileges::Owner(owner.uid()))
}
