"""What is asked of the servers beyond throughput: each family of scenarios is one module.

A scenario is a function that gets a `Stage`, has its servers started by it, and gives back a
`Sheet` of figures and aims. It takes at most a minute. A server that fails in it is refused, with
the reason in the report; nothing here may fail because one server does.
"""
