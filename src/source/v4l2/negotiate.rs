//! Which format to ask for, and what the driver's answer means.

use super::offer::{Offer, rate_text, same_rate};
use crate::frame::{ColourSpace, Matrix, PixelFormat, Range, size_is_allowed};
use crate::source::uri::CameraFormat;

/// Longest row that is believed, in bytes: the largest width at 4 bytes a pixel.
const MAX_STRIDE: usize = 4 * crate::frame::MAX_SIDE as usize;

/// Most formats that a message names.
const MAX_NAMED: usize = 12;

/// What the driver chose, in plain numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fourcc: [u8; 4],
    /// Bytes a row, or 0.
    pub(super) stride: u32,
    /// Most bytes a frame can have, or 0.
    pub(super) bytes: u32,
    pub(super) colour: ColourSpace,
    pub(super) interlaced: bool,
}

/// How to read the buffers to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) format: PixelFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) stride: usize,
    pub(super) colour: ColourSpace,
    /// Fewest bytes a usable buffer has.
    pub(super) needed: usize,
}

/// What is understood behind four characters.
fn understood(fourcc: [u8; 4]) -> Option<CameraFormat> {
    match &fourcc {
        b"YUYV" => Some(CameraFormat::Yuyv),
        b"NV12" => Some(CameraFormat::Nv12),
        b"MJPG" | b"JPEG" => Some(CameraFormat::Mjpeg),
        b"RGB3" => Some(CameraFormat::Rgb24),
        b"GREY" => Some(CameraFormat::Grey),
        _ => None,
    }
}

/// Whether frames in this format can be read.
pub(super) fn is_understood(fourcc: [u8; 4]) -> bool {
    understood(fourcc).is_some()
}

/// The four characters of a format that no camera has to list.
fn fourcc_of(format: CameraFormat) -> [u8; 4] {
    match format {
        CameraFormat::Yuyv => *b"YUYV",
        CameraFormat::Nv12 => *b"NV12",
        CameraFormat::Mjpeg => *b"MJPG",
        CameraFormat::Rgb24 => *b"RGB3",
        CameraFormat::Grey => *b"GREY",
    }
}

/// Four characters as text; the top bit marks big-endian variants.
pub(super) fn fourcc_text(mut fourcc: [u8; 4]) -> String {
    let big_endian = fourcc[3] & 0x80 != 0;
    fourcc[3] &= 0x7f;
    let text: String = fourcc.iter().map(|&byte| char::from(byte)).collect();
    let text = text.trim_end().escape_default().to_string();
    if big_endian { text + "-BE" } else { text }
}

/// The formats on offer as text, those first that can be read.
fn list(offers: &[Offer]) -> String {
    let (read, other): (Vec<_>, Vec<_>) =
        (offers.iter().map(|offer| offer.fourcc)).partition(|&fourcc| is_understood(fourcc));
    let names: Vec<String> = (read.into_iter().chain(other))
        .take(MAX_NAMED)
        .map(fourcc_text)
        .collect();
    let more = offers.len() - names.len();
    let names = names.join(", ");
    if more > 0 {
        format!("{names} and {more} more")
    } else {
        names
    }
}

/// Whether the format is raw sensor data behind a colour filter.
fn is_bayer(fourcc: [u8; 4]) -> bool {
    // 8 bits, 10 to 16 bits, packed and compressed variants all start or end in one
    // of these ways (linux/videodev2.h, "Bayer formats").
    let [first, second, third, fourth] = fourcc;
    let order = |a: u8, b: u8| matches!(&[a, b], b"BG" | b"GB" | b"GR" | b"RG" | b"BA");
    match fourcc {
        [b'B', b'A', b'8', b'1'] | [b'B', b'Y', b'R', b'2'] => true,
        [b'G', b'B', b'R', b'G'] | [b'G', b'R', b'B', b'G'] | [b'R', b'G', b'G', b'B'] => true,
        // pBAA, pgCC, aRA8, PC1B and their kin.
        [b'p' | b'a' | b'b', b'B' | b'G' | b'g' | b'R', _, _] => true,
        [b'P', b'C', b'1', _] => true,
        // BG10, GB12, BA14, RG16, BYR2; not the RGB formats such as RGB3.
        _ => order(first, second) && third == b'1' && fourth.is_ascii_digit(),
    }
}

/// The format to ask the driver for.
///
/// The first in [`CameraFormat::ALL`] that is listed at the wanted size and rate; if
/// none is, at the size; if none is, at all.
///
/// # Errors
/// Why no listed format will do.
pub(super) fn choose(
    offers: &[Offer],
    wanted: Option<CameraFormat>,
    path: &str,
) -> Result<[u8; 4], String> {
    if let Some(wanted) = wanted {
        // A driver need not list anything; its answer is checked later.
        if offers.is_empty() {
            return Ok(fourcc_of(wanted));
        }
        return offers
            .iter()
            .find(|offer| understood(offer.fourcc) == Some(wanted))
            .map(|offer| offer.fourcc)
            .ok_or_else(|| {
                format!(
                    "it does not offer the format {}; formats it lists: {}",
                    wanted.name(),
                    list(offers)
                )
            });
    }
    if offers.is_empty() {
        return Ok(fourcc_of(CameraFormat::Yuyv));
    }
    let rank = |offer: &&Offer| {
        let preference = CameraFormat::ALL
            .iter()
            .position(|&format| understood(offer.fourcc) == Some(format));
        (
            offer.has_size == Some(false),
            offer.has_rate == Some(false),
            preference,
        )
    };
    let best = offers
        .iter()
        .filter(|offer| understood(offer.fourcc).is_some())
        .min_by_key(rank);
    match best {
        Some(offer) => Ok(offer.fourcc),
        None if offers.iter().any(|offer| is_bayer(offer.fourcc)) => Err(format!(
            "it gives only raw sensor data ({}), which needs the camera stack of the board; on \
             a Raspberry Pi: rpicam-vid -t 0 --codec mjpeg -o - | atrous run '-?pace=live'",
            list(offers)
        )),
        None => Err(format!(
            "it offers only {}; read are YUYV, NV12, MJPG, RGB3 and GREY; to convert: ffmpeg \
             -f v4l2 -i {path} -f yuv4mpegpipe -pix_fmt yuv420p - | atrous run '-?pace=live'",
            list(offers)
        )),
    }
}

/// The size to ask the driver for where `width` x `height` is wanted.
///
/// Where pixels share their colour, the last column or row of an odd size has none
/// of its own, and drivers do not agree on what its bytes are. So the picture is
/// asked for without it.
pub(super) fn size_to_ask(fourcc: [u8; 4], width: u32, height: u32) -> (u32, u32) {
    let even = |side: u32| (side & !1).max(2);
    match understood(fourcc) {
        Some(CameraFormat::Yuyv) => (even(width), height),
        Some(CameraFormat::Nv12) => (even(width), even(height)),
        _ => (width, height),
    }
}

/// What the driver's answer to a request for `asked` means.
///
/// # Errors
/// Why frames in this format cannot be read.
pub(super) fn plan(answer: &Answer, asked: [u8; 4], offers: &[Offer]) -> Result<Plan, String> {
    let (width, height) = (answer.width, answer.height);
    let format = understood(answer.fourcc);
    // Another fourcc for the same thing (JPEG for MJPG) is no other answer.
    let format = match format {
        Some(format) if understood(asked) == Some(format) => format,
        _ => {
            return Err(format!(
                "{} was asked for and the driver answered {}; formats it lists: {}",
                fourcc_text(asked),
                fourcc_text(answer.fourcc),
                list(offers)
            ));
        }
    };
    if !size_is_allowed(width, height) {
        return Err(format!(
            "the driver answered {width}x{height}, which is not a size this program reads"
        ));
    }
    let (columns, rows) = (width as usize, height as usize);
    let (format, row) = match format {
        CameraFormat::Yuyv => (PixelFormat::Yuyv, columns.div_ceil(2) * 4),
        CameraFormat::Nv12 => (PixelFormat::Nv12, columns.div_ceil(2) * 2),
        CameraFormat::Rgb24 => (PixelFormat::Rgb8, columns * 3),
        CameraFormat::Grey => (PixelFormat::Grey8, columns),
        CameraFormat::Mjpeg => (PixelFormat::Mjpeg, 0),
    };
    let stride = match answer.stride as usize {
        _ if format == PixelFormat::Mjpeg => 0,
        // Not told, or told in pixels: rows without padding.
        stride if stride < row => row,
        stride if stride > MAX_STRIDE => {
            return Err(format!("the driver answered rows of {stride} bytes"));
        }
        stride => stride,
    };
    let all_rows = match format {
        PixelFormat::Nv12 => rows + rows.div_ceil(2),
        _ => rows,
    };
    let needed = match format {
        // Two markers; what lies between is the decoder's to judge.
        PixelFormat::Mjpeg => 4,
        // Nothing need follow the last pixel.
        _ => stride * (all_rows - 1) + row,
    };
    let most = answer.bytes as usize;
    if format != PixelFormat::Mjpeg && most > 0 && most < needed {
        return Err(format!(
            "the driver gives {most} bytes for {width}x{height} {}, which needs {needed}; ask \
             for another size or format",
            fourcc_text(answer.fourcc)
        ));
    }
    Ok(Plan {
        format,
        width,
        height,
        stride,
        colour: answer.colour,
        needed,
    })
}

/// How a camera's code values map to colour, from the numbers V4L2 has for colour
/// space and quantization. Defaults as `V4L2_MAP_*_DEFAULT` in linux/videodev2.h,
/// which leave grey open: it counts as a sensor's own values, which use all codes.
pub(super) fn colour(fourcc: [u8; 4], colorspace: u32, quantization: u32) -> ColourSpace {
    const SMPTE240M: u32 = 2;
    const REC709: u32 = 3;
    const JPEG: u32 = 7;
    const BT2020: u32 = 10;
    const DCI_P3: u32 = 12;
    let matrix = match colorspace {
        // The first and BT.2020 have matrices of their own, close to BT.709's.
        SMPTE240M | REC709 | BT2020 | DCI_P3 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let full = colorspace == JPEG || understood(fourcc) == Some(CameraFormat::Grey);
    let range = match quantization {
        1 => Range::Full,
        0 if full => Range::Full,
        _ => Range::Limited,
    };
    ColourSpace { matrix, range }
}

/// Why a filled buffer cannot be used, if it cannot. `flagged` is the driver's own
/// word that the content is damaged.
pub(super) fn unusable(plan: &Plan, data: &[u8], flagged: bool) -> Option<String> {
    if flagged {
        return Some("the driver marked it as damaged".to_owned());
    }
    if data.len() < plan.needed {
        return Some(format!(
            "{}x{} {:?} needs {} bytes, the driver gave {}",
            plan.width,
            plan.height,
            plan.format,
            plan.needed,
            data.len()
        ));
    }
    if plan.format == PixelFormat::Mjpeg && !data.starts_with(&[0xff, 0xd8]) {
        return Some("it does not start like a JPEG".to_owned());
    }
    None
}

/// What to tell about a frame rate that is not the one asked for.
pub(super) fn rate_warning(asked: Option<f32>, given: Option<f64>) -> Option<String> {
    match (asked?, given) {
        (asked, None) => Some(format!(
            "{asked} fps was asked for, the driver does not let the rate be set"
        )),
        (asked, Some(given)) if !same_rate(f64::from(asked), given) => Some(format!(
            "{asked} fps was asked for, the driver gives {}",
            rate_text(given)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(fourcc: &[u8; 4], has_size: Option<bool>, has_rate: Option<bool>) -> Offer {
        Offer {
            fourcc: *fourcc,
            has_size,
            has_rate,
        }
    }

    fn any(fourccs: &[&[u8; 4]]) -> Vec<Offer> {
        fourccs.iter().map(|f| offer(f, None, None)).collect()
    }

    fn answer(fourcc: &[u8; 4], width: u32, height: u32, stride: u32) -> Answer {
        Answer {
            width,
            height,
            fourcc: *fourcc,
            stride,
            bytes: 0,
            colour: ColourSpace::default(),
            interlaced: false,
        }
    }

    #[test]
    fn the_best_format_at_the_size_and_rate_is_chosen() {
        let pick = |offers: &[Offer]| choose(offers, None, "/dev/video0").unwrap();
        assert_eq!(pick(&any(&[b"GREY", b"MJPG", b"YUYV", b"H264"])), *b"YUYV");
        assert_eq!(pick(&any(&[b"GREY", b"RGB3", b"MJPG"])), *b"MJPG");
        assert_eq!(pick(&[]), *b"YUYV");
        let (yes, no) = (Some(true), Some(false));
        let offers = [offer(b"YUYV", no, None), offer(b"MJPG", yes, None)];
        assert_eq!(pick(&offers), *b"MJPG");
        let offers = [offer(b"YUYV", yes, no), offer(b"MJPG", yes, yes)];
        assert_eq!(pick(&offers), *b"MJPG");
        let offers = [offer(b"YUYV", yes, no), offer(b"MJPG", no, yes)];
        assert_eq!(pick(&offers), *b"YUYV");
        let offers = [offer(b"YUYV", no, no), offer(b"MJPG", no, no)];
        assert_eq!(pick(&offers), *b"YUYV");
    }

    #[test]
    fn a_format_asked_for_must_be_listed() {
        let offers = any(&[b"YUYV", b"JPEG"]);
        let pick = |wanted| choose(&offers, Some(wanted), "/dev/video0");
        assert_eq!(pick(CameraFormat::Mjpeg), Ok(*b"JPEG"));
        let error = pick(CameraFormat::Nv12).unwrap_err();
        assert!(
            error.contains("nv12") && error.contains("YUYV, JPEG"),
            "{error}"
        );
        assert_eq!(
            choose(&[], Some(CameraFormat::Nv12), "/dev/video0"),
            Ok(*b"NV12")
        );
    }

    #[test]
    fn sensors_and_encoders_get_a_way_out() {
        for fourcc in [
            b"BA81", b"GBRG", b"RGGB", b"BG10", b"RG12", b"GR16", b"pRAA", b"pgCC", b"BYR2",
            b"aBA8", b"PC1B",
        ] {
            let error = choose(&any(&[fourcc]), None, "/dev/video0").unwrap_err();
            assert!(error.contains("rpicam-vid"), "{error}");
        }
        for fourcc in [
            b"H264", b"UYVY", b"RGBP", b"RGB4", b"BGR3", b"Y16 ", b"BA24",
        ] {
            let error = choose(&any(&[fourcc]), None, "/dev/video3").unwrap_err();
            assert!(error.contains("ffmpeg -f v4l2 -i /dev/video3"), "{error}");
        }
    }

    #[test]
    fn the_answer_decides_the_layout() {
        let plan = |fourcc, width, height, stride| {
            let plan = plan(&answer(fourcc, width, height, stride), *fourcc, &[]).unwrap();
            (plan.format, plan.stride, plan.needed)
        };
        assert_eq!(plan(b"YUYV", 5, 3, 0), (PixelFormat::Yuyv, 12, 36));
        assert_eq!(plan(b"YUYV", 5, 3, 16), (PixelFormat::Yuyv, 16, 44));
        // A driver that counts pixels.
        assert_eq!(plan(b"YUYV", 6, 3, 6), (PixelFormat::Yuyv, 12, 36));
        assert_eq!(plan(b"NV12", 4, 3, 8), (PixelFormat::Nv12, 8, 36));
        assert_eq!(plan(b"RGB3", 4, 3, 0), (PixelFormat::Rgb8, 12, 36));
        assert_eq!(plan(b"GREY", 4, 3, 4), (PixelFormat::Grey8, 4, 12));
        assert_eq!(plan(b"MJPG", 4, 3, 99), (PixelFormat::Mjpeg, 0, 4));
    }

    #[test]
    fn another_answer_is_refused() {
        let offers = any(&[b"YUYV", b"NV12"]);
        let error = plan(&answer(b"YUYV", 4, 4, 0), *b"MJPG", &offers).unwrap_err();
        for part in ["MJPG was asked", "answered YUYV", "YUYV, NV12"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(plan(&answer(b"H264", 4, 4, 0), *b"YUYV", &offers).is_err());
        assert!(plan(&answer(b"JPEG", 4, 4, 0), *b"MJPG", &offers).is_ok());
        for (width, height, stride) in [(0, 4, 0), (4, 0, 0), (20_000, 4, 0), (4, 4, u32::MAX)] {
            assert!(plan(&answer(b"YUYV", width, height, stride), *b"YUYV", &[]).is_err());
        }
    }

    #[test]
    fn pixels_that_share_colour_are_asked_for_in_whole() {
        assert_eq!(size_to_ask(*b"YUYV", 333, 217), (332, 217));
        assert_eq!(size_to_ask(*b"NV12", 333, 217), (332, 216));
        assert_eq!(size_to_ask(*b"NV12", 1, 1), (2, 2));
        for fourcc in [b"RGB3", b"GREY", b"MJPG"] {
            assert_eq!(size_to_ask(*fourcc, 333, 217), (333, 217));
        }
    }

    #[test]
    fn an_answer_that_holds_too_little_is_refused() {
        // As vivid answers: two bytes a pixel, also where the last one lacks half
        // its colour.
        let mut odd = answer(b"YUYV", 333, 217, 666);
        odd.bytes = 666 * 217;
        let error = plan(&odd, *b"YUYV", &[]).unwrap_err();
        for part in ["144522", "333x217 YUYV", "144956"] {
            assert!(error.contains(part), "{error}");
        }
        let mut even = answer(b"YUYV", 332, 217, 664);
        even.bytes = 664 * 217;
        assert!(plan(&even, *b"YUYV", &[]).is_ok());
        // What a JPEG needs is not known beforehand.
        let mut jpeg = answer(b"MJPG", 333, 217, 0);
        jpeg.bytes = 1;
        assert!(plan(&jpeg, *b"MJPG", &[]).is_ok());
    }

    #[test]
    fn a_long_list_is_cut_after_what_can_be_read() {
        let few = any(&[b"H264", b"YUYV"]);
        assert_eq!(list(&few), "YUYV, H264");
        let mut many = any(&[b"UYVY"; 77]);
        many.push(offer(b"GREY", None, None));
        let text = list(&many);
        assert!(text.starts_with("GREY, UYVY, "), "{text}");
        assert!(text.ends_with(", UYVY and 66 more"), "{text}");
    }

    #[test]
    fn damaged_and_short_buffers_are_refused() {
        let raw = plan(&answer(b"GREY", 4, 2, 0), *b"GREY", &[]).unwrap();
        assert_eq!(unusable(&raw, &[0; 8], false), None);
        assert!(unusable(&raw, &[0; 8], true).is_some());
        let short = unusable(&raw, &[0; 7], false);
        assert!(short.is_some_and(|text| text.contains("needs 8 bytes, the driver gave 7")));
        let mjpeg = plan(&answer(b"MJPG", 4, 2, 0), *b"MJPG", &[]).unwrap();
        assert_eq!(unusable(&mjpeg, &[0xff, 0xd8, 0xff, 0xd9], false), None);
        assert!(unusable(&mjpeg, &[0, 0, 0, 0], false).is_some());
        assert!(unusable(&mjpeg, &[], false).is_some());
    }

    #[test]
    fn colour_follows_the_kernel() {
        let limited = ColourSpace::default();
        let yuv = |colorspace, quantization| colour(*b"YUYV", colorspace, quantization);
        assert_eq!(yuv(8, 0), limited);
        assert_eq!(yuv(1, 2), limited);
        assert_eq!(yuv(7, 0).range, Range::Full);
        assert_eq!(yuv(7, 2).range, Range::Limited);
        assert_eq!(yuv(1, 1).range, Range::Full);
        assert_eq!(yuv(3, 0).matrix, Matrix::Bt709);
        assert_eq!(yuv(10, 0).matrix, Matrix::Bt709);
        assert_eq!(colour(*b"GREY", 8, 0).range, Range::Full);
        assert_eq!(colour(*b"GREY", 8, 2).range, Range::Limited);
    }

    #[test]
    fn rates_that_differ_are_told() {
        assert_eq!(rate_warning(None, None), None);
        assert_eq!(rate_warning(Some(30.0), Some(29.97)), None);
        let differs = rate_warning(Some(30.0), Some(25.0));
        assert!(differs.is_some_and(|text| text.contains("gives 25")));
        assert!(rate_warning(Some(30.0), None).is_some());
    }

    #[test]
    fn fourccs_as_text() {
        assert_eq!(fourcc_text(*b"YUYV"), "YUYV");
        assert_eq!(fourcc_text(*b"Y16 "), "Y16");
        assert_eq!(fourcc_text([b'Y', b'1', b'6', b' ' | 0x80]), "Y16-BE");
        assert_eq!(fourcc_text([0, 1, b'a', b'b']), "\\u{0}\\u{1}ab");
    }
}
