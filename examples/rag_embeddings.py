"""Questions to documents (RAG): the documents' embeddings are paid for once, however often the index is built.

python examples/rag_embeddings.py
"""

import stand_in  # noqa: F401, I001 - not for your own programs: plays the provider where there is no key

import math

import openai

from llm_cache import LLMCache, wrap_openai

DOCUMENTS = [
    "Bicycles may be taken on all trains after nine in the morning, at no charge.",
    "Lost luggage is kept at the central station for thirty days.",
    "A return ticket is valid for three months from the day of purchase.",
    "Dogs travel free; large ones need a muzzle.",
    "The night train to Vienna leaves at 21:10 from platform seven.",
]


class Index:
    """Texts and their vectors, which is all that a few thousand documents need."""

    def __init__(self, client: openai.OpenAI, texts: list[str]) -> None:
        self.client = client
        self.texts = texts
        # One call for each text, so that a new document costs one call and not all of them again.
        self.vectors = [self.embed(text) for text in texts]

    def embed(self, text: str) -> list[float]:
        return self.client.embeddings.create(model="text-embedding-3-small", input=text).data[0].embedding

    def nearest(self, question: str, count: int = 2) -> list[str]:
        wanted = self.embed(question)
        ranked = sorted(zip(self.texts, self.vectors, strict=True), key=lambda each: -cosine(wanted, each[1]))
        return [text for text, _ in ranked[:count]]


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / ((math.hypot(*one) * math.hypot(*other)) or 1.0)


def answer(client: openai.OpenAI, index: Index, question: str) -> str:
    context = "\n".join(f"- {text}" for text in index.nearest(question))
    prompt = f"Context:\n{context}\n\nAnswer from the context alone, in one sentence: {question}"
    reply = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}])
    return reply.choices[0].message.content or ""


def main() -> None:
    with LLMCache(namespace="railway") as cache, wrap_openai(openai.OpenAI(), cache) as client:
        print(answer(client, Index(client, DOCUMENTS), "How long is a return ticket valid?"))
        print(f"after the first question: {cache.stats().misses} calls paid for")
        # The program is started again, with one more document: the index is built anew.
        more = [*DOCUMENTS, "Children under six need no ticket."]
        print(answer(client, Index(client, more), "When does the night train leave?"))
        stats = cache.stats()
        print(f"after the second: {stats.misses} calls paid for, {stats.hits} from the cache")


if __name__ == "__main__":
    main()
