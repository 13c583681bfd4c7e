-- One row per set of header texts known.
select input_id
from rule_inputs
