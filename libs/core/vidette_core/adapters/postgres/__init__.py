"""The truth about jobs, in PostgreSQL: `schema` holds the tables, and one module stands for each user of them.

`submissions` is the api's, `reading` the api's too, `segments` the gateway's, `schedule` the controller's. Every write that
matters is a compare-and-set or happens under a row lock with its fence in the condition, on the database's clock.
"""
