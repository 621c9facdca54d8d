//! Arithmetic that gives the same bits on every machine.
//!
//! Only `+ - * /` and `sqrt` are used on floats, which IEEE 754 fixes exactly; the standard
//! library's `sin`, `exp` and `powf` may differ between platforms, so none of them appears.

/// A point or direction: x to the right, y up, z ahead; metres.
pub type Vec3 = [f32; 3];

/// A colour; 1.0 is full scale of the picture.
pub type Rgb = [f32; 3];

/// `a + b`.
pub fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// `a - b`.
pub fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a` times a number.
pub fn scale(a: Vec3, k: f32) -> Vec3 {
    [a[0] * k, a[1] * k, a[2] * k]
}

/// Channel by channel product.
pub fn tint(a: Rgb, b: Rgb) -> Rgb {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

/// Inner product.
pub fn dot(a: Vec3, b: Vec3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Vector product.
pub fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// `a` scaled to length 1; a zero vector stays zero.
pub fn unit(a: Vec3) -> Vec3 {
    let length = dot(a, a).sqrt();
    if length > 0.0 {
        scale(a, 1.0 / length)
    } else {
        a
    }
}

/// `a` at 0, `b` at 1.
pub fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// [`lerp`] for each coordinate.
pub fn mix3(a: Vec3, b: Vec3, t: f32) -> Vec3 {
    [
        lerp(a[0], b[0], t),
        lerp(a[1], b[1], t),
        lerp(a[2], b[2], t),
    ]
}

/// 0 below `low`, 1 above `high`, smooth between.
pub fn smooth(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The largest whole number not above `x`; without a call into libm on machines that lack
/// a rounding instruction.
pub fn floor(x: f32) -> i32 {
    let whole = x as i32;
    whole.wrapping_sub(i32::from(x < whole as f32))
}

/// Sine of `turns` whole turns (1.0 is 360 degrees), within 0.001.
pub fn sin_turns(turns: f32) -> f32 {
    let t = turns - floor(turns) as f32;
    let (x, sign) = if t < 0.5 { (t, 1.0) } else { (t - 0.5, -1.0) };
    // Bhaskara's rational approximation of the half wave, exact at both ends and the middle.
    let p = 4.0 * x * (0.5 - x);
    sign * 16.0 * p / (5.0 - 4.0 * p)
}

/// Cosine of `turns` whole turns.
pub fn cos_turns(turns: f32) -> f32 {
    sin_turns(turns + 0.25)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_is_close_to_the_real_one() {
        for i in -400..400 {
            let t = i as f32 / 100.0;
            let real = (t * core::f32::consts::TAU).sin();
            assert!(
                (sin_turns(t) - real).abs() < 0.003,
                "{t}: {} {real}",
                sin_turns(t)
            );
        }
    }

    #[test]
    fn floor_rounds_down() {
        assert_eq!(
            [floor(-0.5), floor(-2.0), floor(1.9), floor(0.0)],
            [-1, -2, 1, 0]
        );
    }
}
