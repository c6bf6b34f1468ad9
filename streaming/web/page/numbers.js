// Arithmetic that several rules share, as numpy and Python have it.

// log(e^a + e^b).
export function logAdd(a, b) {
  if (a === b) return a + Math.LN2;
  return a > b ? a + Math.log1p(Math.exp(b - a)) : b + Math.log1p(Math.exp(a - b));
}

// The log-probability of a state whose ways end in a blank or in a phone.
export const totalOf = ({ blank, phone }) => logAdd(blank, phone);

// The nearest whole number, of two the even one.
export function rounded(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}
