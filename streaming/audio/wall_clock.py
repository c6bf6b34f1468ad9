"""How much audio a source lost without saying how much, by the wall clock."""


class WallClock:
    """How many samples a source must have lost, by the wall clock.

    Of a block that ends with sample n on the audio clock and arrives at time t, the lag is t - n / rate. Delays come
    and go and only add to it: the least lag of late, the *floor*, is what audio needs to get here. The floor may rise
    by `DRIFT` of the time, as a device's clock and the computer's differ. When a source says that it lost audio, or
    was opened again, lag - floor is how much; when it says nothing, but over `STEADY_SECONDS` of
    audio every lag lies above the floor by more than `UNTOLD_SECONDS` and they are steady, audio was lost as well: a
    sound server drops what a stopped process does not fetch. After a stall that cost nothing, lags are not steady:
    they fall as what has waited comes all at once.
    """

    DRIFT = 1e-3
    STEADY_SECONDS = 3.0
    # Seconds between the least and the greatest lag while audio comes at its ordinary pace
    STEADY_WITHIN = 0.1
    UNTOLD_SECONDS = 1.0

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._floor: float | None = None
        self._last = 0.0  # arrival of the block before
        self._since = 0  # on the audio clock, the beginning of these lags
        self._low, self._high = float("inf"), -float("inf")

    def lost(self, end: int, arrived: float, told: bool) -> int:
        """Samples lost before a block.

        Args:
            end: the audio clock after the block, in samples, if nothing was lost just before it.
            arrived: when it came, in seconds.
            told: whether the source said that it lost some.
        """
        lag = arrived - end / self._rate
        if self._floor is None:
            self._begin(end)
            self._floor, self._last = lag, arrived
            return 0
        floor = self._floor + self.DRIFT * min(arrived - self._last, 1.0)  # not over an hour's absence
        self._low, self._high = min(self._low, lag), max(self._high, lag)
        lost = 0
        if told:
            lost = max(0, round((lag - floor) * self._rate))
            self._begin(end + lost)
        elif end - self._since >= self.STEADY_SECONDS * self._rate:
            if self._high - self._low < self.STEADY_WITHIN and self._low - floor > self.UNTOLD_SECONDS:
                lost = round((self._low - floor) * self._rate)
            self._begin(end + lost)
        self._floor = min(floor, lag - lost / self._rate)
        self._last = arrived
        return lost

    def missing(self, position: int, now: float) -> int:
        """Samples by which `position` on the audio clock is behind at the time `now`; negative if it is not."""
        return 0 if self._floor is None else round((now - self._floor) * self._rate) - position

    def _begin(self, end: int) -> None:
        self._since, self._low, self._high = end, float("inf"), -float("inf")
