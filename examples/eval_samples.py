"""An evaluation with several samples to each question: paid for once, scored as often as the scorer changes.

python examples/eval_samples.py
"""

import stand_in  # noqa: F401, I001 - not for your own programs: plays the provider where there is no key

import asyncio

import openai

from llm_cache import LLMCache, options, wrap_openai

QUESTIONS = {"6 times 7": 42, "12 times 12": 144, "17 times 3": 51, "8 times 9": 72}
SAMPLES = 5


async def ask(client: openai.AsyncOpenAI, product: str, sample: int) -> str:
    # Each sample is an answer of its own, and the same one in every run.
    with options(sample=sample):
        reply = await client.chat.completions.create(
            model="gpt-4o-mini",
            temperature=1.0,
            messages=[{"role": "user", "content": f"What is {product}? Answer with the number alone."}],
        )
    return reply.choices[0].message.content or ""


async def draw(cache: LLMCache) -> dict[str, list[str]]:
    """All samples of all questions, at once."""
    async with openai.AsyncOpenAI() as client, wrap_openai(client, cache):
        asked = [ask(client, product, sample) for product in QUESTIONS for sample in range(SAMPLES)]
        answers = await asyncio.gather(*asked)
    return {product: answers[number * SAMPLES :][:SAMPLES] for number, product in enumerate(QUESTIONS)}


def score(draws: dict[str, list[str]], *, majority: bool) -> float:
    """The share of right answers; or of questions whose most frequent answer is right."""
    if majority:
        right = [max(set(found), key=found.count) == str(QUESTIONS[product]) for product, found in draws.items()]
    else:
        right = [answer == str(QUESTIONS[product]) for product, found in draws.items() for answer in found]
    return sum(right) / len(right)


def main() -> None:
    with LLMCache(namespace="eval-arithmetic") as cache:
        first = asyncio.run(draw(cache))
        print(f"one by one: {score(first, majority=False):.0%} right")
        # A day later the scorer has changed. The same draws are scored, and nothing is paid.
        second = asyncio.run(draw(cache))
        assert second == first
        print(f"by majority of {SAMPLES}: {score(second, majority=True):.0%} right")
        stats = cache.stats()
        print(f"{stats.misses} calls paid for: ${stats.cost_spent_usd}; {stats.hits} free: ${stats.cost_saved_usd}")


if __name__ == "__main__":
    main()
