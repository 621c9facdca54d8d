//! The groups of this process, which decide what devices it may open.

use serde::Serialize;

use super::{Sysfs, text};

/// Membership in the groups that distributions give devices to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DeviceGroups {
    /// Cameras and displays.
    pub video: bool,
    /// GPIO chips.
    pub gpio: bool,
    /// Graphics without a display.
    pub render: bool,
    /// Keyboards and buttons.
    pub input: bool,
}

impl DeviceGroups {
    /// Looks the groups up in a list of names.
    pub fn among(names: &[String]) -> Self {
        let has = |group: &str| names.iter().any(|name| name == group);
        Self {
            video: has("video"),
            gpio: has("gpio"),
            render: has("render"),
            input: has("input"),
        }
    }
}

impl Sysfs {
    /// Names of the groups that this process belongs to, its own first. A group
    /// without a name is given by its number.
    pub fn user_groups(&self) -> Vec<String> {
        let mut ids = vec![rustix::process::getegid().as_raw()];
        // Where the kernel refuses the rest, the first is still true.
        ids.extend(
            rustix::process::getgroups()
                .into_iter()
                .flatten()
                .map(|id| id.as_raw()),
        );
        self.group_names(&ids)
    }

    /// Names of groups by `/etc/group`, each once, in the order given.
    pub fn group_names(&self, ids: &[u32]) -> Vec<String> {
        let file = text(&self.path("etc/group")).unwrap_or_default();
        let mut names: Vec<String> = Vec::new();
        for id in ids {
            // name:password:number:members
            let known = file.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                (fields.nth(1)?.parse() == Ok(*id)).then(|| name.to_owned())
            });
            let name = known.unwrap_or_else(|| id.to_string());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;
    use super::*;

    #[test]
    fn names_come_from_the_file() {
        let file = "root:x:0:\nvideo:x:44:anna,bert\nbroken\ngpio:x:997:\n";
        let (_folder, sysfs) = tree(&[("etc/group", file)]);
        let names = sysfs.group_names(&[1000, 44, 44, 997]);
        assert_eq!(names, ["1000", "video", "gpio"]);
        let groups = DeviceGroups::among(&names);
        assert_eq!(
            groups,
            DeviceGroups {
                video: true,
                gpio: true,
                ..DeviceGroups::default()
            }
        );
    }
}
