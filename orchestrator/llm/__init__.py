"""The LLM behind one small protocol (:mod:`orchestrator.llm.protocol`), and its backends."""
