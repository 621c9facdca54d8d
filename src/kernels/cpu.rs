//! What this processor can do, and which kernels may use it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Instructions that a kernel needs beyond those that every processor of its
/// architecture has. Within an architecture a later tier is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// None: portable Rust.
    Scalar,
    /// x86-64 AVX2.
    Avx2,
    /// x86-64 AVX-VNNI: products of bytes, 256 bits wide.
    AvxVnni,
    /// x86-64 AVX-512 F, BW, VL and VNNI: products of bytes, 512 bits wide.
    Avx512Vnni,
    /// The same and AVX-512 VBMI: tables of bytes in registers.
    Avx512Vbmi,
    /// Arm Advanced SIMD as every 64-bit Arm processor has it.
    Neon,
    /// Arm dot product (SDOT): Cortex-A55, A75 and later.
    Dotprod,
    /// Arm dot product and products of matrices of bytes (FEAT_I8MM: USMMLA, USDOT):
    /// Cortex-A510, A710, X2, Neoverse V1, N2 and later.
    I8mm,
}

impl Tier {
    /// All of them, those of one architecture in the order of preference.
    pub const ALL: [Self; 8] = [
        Self::Scalar,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512Vnni,
        Self::Avx512Vbmi,
        Self::Neon,
        Self::Dotprod,
        Self::I8mm,
    ];

    /// The name that [`FromStr`] reads and kernels carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
            Self::Avx512Vbmi => "avx512vbmi",
            Self::Neon => "neon",
            Self::Dotprod => "dotprod",
            Self::I8mm => "i8mm",
        }
    }

    /// Whether this processor has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vbmi => {
                Self::Avx512Vnni.is_available() && is_x86_feature_detected!("avx512vbmi")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::Dotprod => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "aarch64")]
            Self::I8mm => {
                Self::Dotprod.is_available() && std::arch::is_aarch64_feature_detected!("i8mm")
            }
            _ => false,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a tier cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TierError {
    /// No tier is called so.
    #[error("'{name}' is no kind of kernels; this processor has: {}", available())]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// This processor lacks its instructions.
    #[error("this processor cannot run {tier} kernels; it has: {}", available())]
    Missing {
        /// What was asked for.
        tier: Tier,
    },
}

fn available() -> String {
    let tiers = Tier::ALL.into_iter().filter(|tier| tier.is_available());
    tiers.map(Tier::name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Tier {
    type Err = TierError;

    fn from_str(name: &str) -> Result<Self, TierError> {
        let named = Self::ALL.into_iter().find(|tier| tier.name() == name);
        let tier = named.ok_or_else(|| TierError::Unknown { name: name.into() })?;
        if tier.is_available() {
            Ok(tier)
        } else {
            Err(TierError::Missing { tier })
        }
    }
}

/// The tiers that kernels are chosen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    best: Tier,
}

impl Cpu {
    /// All that this processor has.
    pub fn detect() -> Self {
        let best = Tier::ALL.into_iter().rev().find(|tier| tier.is_available());
        Self {
            best: best.unwrap_or(Tier::Scalar),
        }
    }

    /// This tier and the ones below it.
    ///
    /// # Errors
    /// [`TierError::Missing`] where this processor cannot run the tier.
    pub fn limited(tier: Tier) -> Result<Self, TierError> {
        if tier.is_available() {
            Ok(Self { best: tier })
        } else {
            Err(TierError::Missing { tier })
        }
    }

    /// The most preferred tier.
    pub fn best(self) -> Tier {
        self.best
    }

    /// Whether kernels of this tier may be chosen.
    pub fn allows(self, tier: Tier) -> bool {
        tier <= self.best && tier.is_available()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_tier_is_allowed_and_scalar_always_is() {
        let cpu = Cpu::detect();
        assert!(cpu.allows(cpu.best()));
        let scalar = Cpu::limited(Tier::Scalar).unwrap();
        assert!(cpu.allows(Tier::Scalar) && scalar.allows(Tier::Scalar));
        for tier in Tier::ALL.into_iter().skip(1) {
            assert!(!scalar.allows(tier), "{tier}");
        }
    }

    #[test]
    fn names_are_read_back_and_others_are_refused() {
        for tier in Tier::ALL {
            match tier.name().parse::<Tier>() {
                Ok(read) => assert_eq!(read, tier),
                Err(error) => assert_eq!(error, TierError::Missing { tier }),
            }
        }
        let error = "mmx".parse::<Tier>().unwrap_err();
        assert!(error.to_string().contains("scalar"), "{error}");
    }
}
