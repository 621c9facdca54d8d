//! The video nodes of this machine, and what sysfs says about them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CLASS: &str = "/sys/class/video4linux";

/// Every `/dev/videoN`, ordered by number.
pub(super) fn all() -> Vec<PathBuf> {
    let mut nodes: Vec<(u32, PathBuf)> = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    nodes.sort();
    nodes.into_iter().map(|(_, path)| path).collect()
}

/// Which of its device's nodes `node` is, from 0, where sysfs tells.
pub(super) fn index(node: &Path) -> Option<u32> {
    index_in(Path::new(CLASS), node)
}

/// The USB serial number of the camera behind `node`, if it has one that no other
/// camera here has: many makers give all their cameras the same.
pub(super) fn unique_serial(node: &Path) -> Option<String> {
    unique_serial_in(Path::new(CLASS), node, &all())
}

fn unique_serial_in(class: &Path, node: &Path, others: &[PathBuf]) -> Option<String> {
    let device = usb_device(class, node)?;
    let serial = serial_of(&device)?;
    let sharing: BTreeSet<PathBuf> = others
        .iter()
        .filter_map(|other| usb_device(class, other))
        .filter(|other| serial_of(other).as_ref() == Some(&serial))
        .collect();
    (sharing.iter().all(|other| *other == device)).then_some(serial)
}

fn index_in(class: &Path, node: &Path) -> Option<u32> {
    let text = fs::read_to_string(class.join(node.file_name()?).join("index")).ok()?;
    text.trim().parse().ok()
}

/// The folder of the USB device that `node` belongs to: that of the interface it
/// sits on, or the one above.
fn usb_device(class: &Path, node: &Path) -> Option<PathBuf> {
    let interface = fs::canonicalize(class.join(node.file_name()?).join("device")).ok()?;
    interface
        .ancestors()
        .take(2)
        .find(|folder| folder.join("idVendor").exists())
        .map(Path::to_owned)
}

fn serial_of(device: &Path) -> Option<String> {
    let serial = fs::read_to_string(device.join("serial")).ok()?;
    let serial = serial.trim();
    (!serial.is_empty()).then(|| serial.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A camera's part of sysfs: two nodes on one interface of a USB device.
    fn plug(root: &Path, port: &str, serial: Option<&str>, nodes: [&str; 2]) {
        let device = root.join("devices").join(port);
        let interface = device.join(format!("{port}:1.0"));
        fs::create_dir_all(&interface).unwrap();
        fs::write(device.join("idVendor"), "046d\n").unwrap();
        if let Some(serial) = serial {
            fs::write(device.join("serial"), format!("{serial}\n")).unwrap();
        }
        for (index, node) in nodes.iter().enumerate() {
            let folder = root.join("class").join(node);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("index"), format!("{index}\n")).unwrap();
            symlink(&interface, folder.join("device")).unwrap();
        }
    }

    #[test]
    fn a_serial_number_counts_only_if_it_is_its_own() {
        let root = tempfile::tempdir().unwrap();
        let class = root.path().join("class");
        plug(root.path(), "1-1", Some("A7"), ["video0", "video1"]);
        plug(root.path(), "1-2", Some("0001"), ["video2", "video3"]);
        plug(root.path(), "1-3", Some("0001"), ["video4", "video5"]);
        plug(root.path(), "1-4", None, ["video6", "video7"]);
        let nodes: Vec<PathBuf> = (0..8).map(|n| format!("/dev/video{n}").into()).collect();
        let serial = |number: usize| unique_serial_in(&class, &nodes[number], &nodes);
        assert_eq!(serial(0).as_deref(), Some("A7"));
        assert_eq!([serial(2), serial(4), serial(6)], [None, None, None]);
        assert_eq!(index_in(&class, &nodes[3]), Some(1));
        assert_eq!(index_in(&class, Path::new("/dev/video9")), None);
    }

    #[test]
    fn what_sysfs_does_not_know_has_neither() {
        let root = tempfile::tempdir().unwrap();
        for node in ["/dev/video0", "/", "..", ""] {
            assert_eq!(unique_serial_in(root.path(), Path::new(node), &[]), None);
            assert_eq!(index_in(root.path(), Path::new(node)), None);
        }
    }
}
