"""What asking the shipped text head costs, by length of the prompt.

python -m tests.benchmarks.text_head
"""

from time import process_time

from router.config.text_heads import shipped_head
from router.quality.text_head import TextHead

PROSE = "The committee asked why the bridge had been closed in 1998, and she answered: it must be replaced (soon)! "
ROUNDS = 30
CALLS_PER_ROUND = 100
SIZES = {100: 250, 1_024: 250, 10_240: 700, 102_400: 700}  # characters, and the most that is allowed in microseconds


def main() -> None:
    """Prints the table."""
    head = shipped_head()
    print("characters  CPU us  allowed")
    for size, most_us in SIZES.items():
        print(f"{size:>10}{cost_us(head, size):>8.1f}{most_us:>9}")


def cost_us(head: TextHead, size: int) -> float:
    """CPU of one prompt, the best of many short rounds."""
    text = (PROSE * (size // len(PROSE) + 1))[:size]
    return min(_round_us(head, text) for _ in range(ROUNDS))


def _round_us(head: TextHead, text: str) -> float:
    begun_s = process_time()
    for _ in range(CALLS_PER_ROUND):
        head.signals(text)
    return (process_time() - begun_s) / CALLS_PER_ROUND * 1e6


if __name__ == "__main__":
    main()
