//! Money: integer minor units and a currency, never a float.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use super::number::{Decimal, div_half_even};

/// Amounts of one record lie below this many minor units (2⁴⁷, 1.4 billion million in hundredths).
pub const AMOUNT_LIMIT: i64 = 1 << 47;

/// An amount as a record sends it: minor units of the record's currency, not of the shop's. [`Shop::convert`] is the only way from
/// one to the other.
///
/// [`Shop::convert`]: crate::domain::settings::Shop::convert
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct SentAmount(pub i64);

impl SentAmount {
    pub const ZERO: Self = Self(0);

    pub const fn minor(self) -> i64 {
        self.0
    }
}

impl AddAssign for SentAmount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// An amount in the minor units of the shop's currency: what all totals and signals are made of. Negative where more went back than
/// was bought.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ShopAmount(pub i64);

impl ShopAmount {
    pub const ZERO: Self = Self(0);

    pub const fn minor(self) -> i64 {
        self.0
    }

    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl From<ShopAmount> for i128 {
    fn from(amount: ShopAmount) -> Self {
        Self::from(amount.0)
    }
}

impl Add for ShopAmount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for ShopAmount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.minus(other)
    }
}

impl AddAssign for ShopAmount {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for ShopAmount {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Sum for ShopAmount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(Self::minor).sum())
    }
}

/// A currency: its code, three letters in five bits each, and how many digits its amounts have after the point. ISO 4217, current or
/// historic, says how many; of other currencies the configuration does.
///
/// Currencies are the same if their codes are.
#[derive(Clone, Copy, Debug)]
pub struct Currency {
    bits: u16,
    digits: u8,
}

/// The most digits that a currency may have after the point.
pub const CURRENCY_DIGITS_MAX: u8 = 4;

impl Currency {
    /// The ISO 4217 currency of a three-letter code in capitals; `None` if there is no such currency.
    pub fn from_code(code: &[u8]) -> Option<Self> {
        Self::from_bits(pack(code)?).filter(|currency| currency.has_digits())
    }

    /// The currency of any three letters, capitals or not. Only a shop knows the digits of one that ISO 4217 does not have.
    pub fn from_letters(code: &[u8]) -> Option<Self> {
        let capitals: [u8; 3] = code.try_into().ok()?;
        Self::from_bits(pack(&capitals.map(|letter| letter.to_ascii_uppercase()))?)
    }

    /// A currency that ISO 4217 does not have: three capitals and at most [`CURRENCY_DIGITS_MAX`] digits.
    pub fn declared(code: &[u8], digits: u8) -> Option<Self> {
        let bits = pack(code)?;
        let is_free = DIGITS[usize::from(bits)] == UNKNOWN && digits <= CURRENCY_DIGITS_MAX;
        is_free.then_some(Self { bits, digits })
    }

    /// The currency of [`Self::to_bits`].
    pub fn from_bits(bits: u16) -> Option<Self> {
        let digits = *DIGITS.get(usize::from(bits))?;
        (digits != NO_CODE).then_some(Self { bits, digits })
    }

    /// A stable 15-bit form for compact encodings.
    pub const fn to_bits(self) -> u16 {
        self.bits
    }

    /// The three letters.
    pub fn code(self) -> [u8; 3] {
        let letter = |shift: u16| b'A' + ((self.bits >> shift) & 31) as u8;
        [letter(10), letter(5), letter(0)]
    }

    /// Whether ISO 4217 or the configuration says how many digits it has.
    pub const fn has_digits(self) -> bool {
        self.digits <= CURRENCY_DIGITS_MAX
    }

    /// Digits after the point: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn digits(self) -> u8 {
        assert!(
            self.has_digits(),
            "shops have currencies with known digits only, and amounts are written in theirs"
        );
        self.digits
    }
}

impl PartialEq for Currency {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl Eq for Currency {}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits.cmp(&other.bits)
    }
}

impl Hash for Currency {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.code().into_iter().try_for_each(|letter| write!(formatter, "{}", letter as char))
    }
}

/// How amounts of one currency become amounts of a shop's currency: an exact factor on minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conversion {
    pub from: Currency,
    numerator: i128,
    denominator: i128,
}

impl Conversion {
    /// From rates that say what one unit of each currency is worth in a common third one.
    ///
    /// `None` if a rate is zero, or so large or precise that exact arithmetic would overflow.
    pub fn new(from: Currency, from_rate: Decimal, to: Currency, to_rate: Decimal) -> Option<Self> {
        let power = |digits: u8| 10i128.pow(u32::from(digits));
        let numerator = from_rate.numerator() * to_rate.denominator() * power(to.digits());
        let denominator = from_rate.denominator() * to_rate.numerator() * power(from.digits());
        let divisor = greatest_common_divisor(numerator, denominator);
        if numerator == 0 || denominator == 0 || numerator / divisor > i128::from(i64::MAX) {
            return None;
        }
        Some(Self { from, numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// The amount in the shop's minor units, rounded half even once.
    pub fn convert(&self, sent: SentAmount) -> ShopAmount {
        let converted = div_half_even(i128::from(sent.minor()) * self.numerator, self.denominator);
        // Only an absurd rate can leave the range; saturating keeps the domain total.
        ShopAmount(i64::try_from(converted.clamp(-CONVERTED_MAX, CONVERTED_MAX)).expect("clamped"))
    }
}

/// Sums of a thousand converted amounts still fit in 63 bits.
const CONVERTED_MAX: i128 = 1 << 52;

fn greatest_common_divisor(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

const fn pack(code: &[u8]) -> Option<u16> {
    let [a, b, c] = code else { return None };
    if !(a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_uppercase()) {
        return None;
    }
    Some((((*a - b'A') as u16) << 10) | (((*b - b'A') as u16) << 5) | (*c - b'A') as u16)
}

/// Currencies without minor units.
const DIGITS_0: &str = "\
    ADP BEF BIF BYB BYR CLP DJF ESP GNF GRD IRR ISK ITL JPY KMF KRW LUF MGF PTE PYG ROL RWF TPE TRL UGX \
    UYI VND VUV XAF XOF XPF";

/// Currencies with hundredths.
const DIGITS_2: &str = "\
    AED AFA AFN ALL AMD ANG AOA ARS ATS AUD AWG AYM AZM AZN BAM BBD BDT BGL BGN BMD BND BOB BOV BRL BSD \
    BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CSD CUC CUP CVE CYP CZK DEM DKK DOP DZD EEK EGP \
    ERN ETB EUR FIM FJD FKP FRF GBP GEL GHC GHS GIP GMD GTQ GWP GYD HKD HNL HRK HTG HUF IDR IEP ILS INR \
    JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL LTL LVL MAD MDL MGA MKD MMK MNT MOP MRO MRU MTL MUR \
    MVR MWK MXN MXV MYR MZM MZN NAD NGN NIO NLG NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB RUR \
    SAR SBD SCR SDD SDG SEK SGD SHP SIT SKK SLE SLL SOS SRD SRG SSP STD STN SVC SYP SZL THB TJS TMM TMT \
    TOP TRY TTD TWD TZS UAH USD USN USS UYU UZS VEB VED VEF VES WST XCD XCG YER YUM ZAR ZMK ZMW ZWD ZWG \
    ZWL ZWN ZWR";

/// Currencies with thousandths.
const DIGITS_3: &str = "\
    BHD IQD JOD KWD LYD OMR TND";

/// Currencies with ten-thousandths.
const DIGITS_4: &str = "\
    CLF";

/// Three letters that ISO 4217 does not know.
const UNKNOWN: u8 = 0xfe;

/// Not three letters.
const NO_CODE: u8 = 0xff;

/// Digits by packed code: every order that is unpacked asks.
static DIGITS: [u8; 1 << 15] = {
    let mut table = [NO_CODE; 1 << 15];
    let mut bits = 0;
    while bits < table.len() {
        if bits >> 10 < 26 && bits >> 5 & 31 < 26 && bits & 31 < 26 {
            table[bits] = UNKNOWN;
        }
        bits += 1;
    }
    let lists = [(DIGITS_0, 0), (DIGITS_2, 2), (DIGITS_3, 3), (DIGITS_4, 4)];
    let mut list = 0;
    while list < lists.len() {
        let (mut rest, digits) = (lists[list].0.as_bytes(), lists[list].1);
        while let [a, b, c, tail @ ..] = rest {
            let Some(code) = pack(&[*a, *b, *c]) else { panic!("a code of three capitals") };
            table[code as usize] = digits;
            rest = match tail {
                [_, next @ ..] => next,
                [] => tail,
            };
        }
        list += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code.as_bytes()).expect("a currency")
    }

    #[test]
    fn currencies_know_their_digits_and_letters() {
        for (code, digits) in
            [("EUR", 2), ("JPY", 0), ("IRR", 0), ("KWD", 3), ("CLF", 4), ("ZWR", 2), ("ADP", 0)]
        {
            assert_eq!(currency(code).digits(), digits, "{code}");
            assert_eq!(currency(code).to_string(), code);
            assert_eq!(Currency::from_bits(currency(code).to_bits()), Some(currency(code)));
        }
        for code in ["", "EU", "eur", "XXX", "EURO"] {
            assert_eq!(Currency::from_code(code.as_bytes()), None, "{code}");
        }
        assert_eq!(Currency::from_letters(b"Eur"), Some(currency("EUR")));
        assert_eq!(Currency::from_letters(b"E r"), None);
        let codes = (0..=u16::MAX).filter_map(Currency::from_bits);
        assert!(codes.clone().all(|currency| currency.code().iter().all(u8::is_ascii_uppercase)));
        assert_eq!(codes.count(), 26 * 26 * 26);
    }

    #[test]
    fn a_currency_that_is_not_iso_has_declared_digits() {
        let toman = Currency::declared(b"IRT", 0).expect("free letters");
        let unpacked = Currency::from_bits(toman.to_bits()).expect("three letters");
        assert_eq!((toman.digits(), toman, unpacked.has_digits()), (0, unpacked, false));
        for (code, digits) in [("EUR", 2), ("irt", 0), ("IRTX", 0), ("IRT", 5)] {
            assert!(Currency::declared(code.as_bytes(), digits).is_none(), "{code} {digits}");
        }
    }

    #[test]
    fn conversion_rounds_half_even_across_digits() {
        let rate = |text| Decimal::parse(text).expect("a decimal");
        let yen =
            Conversion::new(currency("JPY"), rate("0.0065"), currency("EUR"), rate("1")).expect("rates");
        assert_eq!(yen.convert(SentAmount(1_000)), ShopAmount(650));
        assert_eq!(yen.convert(SentAmount(1)), ShopAmount(1)); // 0.65 cents
        assert_eq!(yen.convert(SentAmount(10)), ShopAmount(6)); // 6.5 cents, a tie, to even
        let dinar =
            Conversion::new(currency("KWD"), rate("3"), currency("JPY"), rate("0.0065")).expect("rates");
        assert_eq!(dinar.convert(SentAmount(1_000)), ShopAmount(462)); // 3 / 0.0065 = 461.54
        assert_eq!(Conversion::new(currency("JPY"), rate("0"), currency("EUR"), rate("1")), None);
    }

    #[test]
    fn currencies_are_in_the_order_of_their_letters() {
        assert!(currency("EUR") < currency("GBP") && currency("GBP") > currency("EUR"));
        assert_eq!(currency("EUR").partial_cmp(&currency("EUR")), Some(Ordering::Equal));
    }

    /// The parts of a rate are divided by what they have in common, so that more rates fit.
    #[test]
    fn large_rates_fit_once_they_are_reduced() {
        let large = Decimal::whole(1 << 62);
        let same = Conversion::new(currency("KWD"), large, currency("EUR"), large).expect("it is 1 to 1");
        assert_eq!(same.convert(SentAmount(12_340)), ShopAmount(1_234));
        assert_eq!(Conversion::new(currency("JPY"), large, currency("KWD"), Decimal::whole(1)), None);
        let most = |digits| Decimal::new(i64::MAX.unsigned_abs(), digits).expect("digits");
        let rate = Conversion::new(currency("EUR"), most(0), currency("EUR"), Decimal::whole(1));
        assert_eq!(rate.map(|rate| rate.convert(SentAmount(1))), Some(ShopAmount(1 << 52)));
        assert_eq!(Conversion::new(currency("EUR"), large, currency("EUR"), Decimal::whole(0)), None);
    }
}
