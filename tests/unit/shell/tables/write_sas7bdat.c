/* Writes follow_up.sas7bdat with ReadStat (MIT): build against its sources, run in the folder that takes the file. */
#include <fcntl.h>
#include <unistd.h>

#include "readstat.h"

static ssize_t write_bytes(const void *data, size_t length, void *context) {
    return write(*(int *)context, data, length);
}

int main(void) {
    int file = open("follow_up.sas7bdat", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const char *ids[] = {"007", "8", "0012"};
    const double fracture[] = {0, 1, 0}, bmi[] = {22.5, 31.25, 0};
    const double end_date[] = {20148, 20300, 19000};          /* days since 1960-01-01 */
    const double seen[] = {1740832200.0, 0, -1.0};            /* seconds since 1960-01-01 */

    readstat_writer_t *writer = readstat_writer_init();
    readstat_set_data_writer(writer, write_bytes);
    readstat_variable_t *id = readstat_add_variable(writer, "PID", READSTAT_TYPE_STRING, 8);
    readstat_variable_t *event = readstat_add_variable(writer, "FRACTURE", READSTAT_TYPE_DOUBLE, 8);
    readstat_variable_t *mass = readstat_add_variable(writer, "BMI", READSTAT_TYPE_DOUBLE, 8);
    readstat_variable_t *end = readstat_add_variable(writer, "END_DATE", READSTAT_TYPE_DOUBLE, 8);
    readstat_variable_t *visit = readstat_add_variable(writer, "SEEN", READSTAT_TYPE_DOUBLE, 8);
    readstat_variable_set_format(end, "DATE9.");
    readstat_variable_set_format(visit, "DATETIME20.");

    readstat_begin_writing_sas7bdat(writer, &file, 3);
    for (int row = 0; row < 3; row++) {
        readstat_begin_row(writer);
        readstat_insert_string_value(writer, id, ids[row]);
        readstat_insert_double_value(writer, event, fracture[row]);
        if (row == 2) readstat_insert_tagged_missing_value(writer, mass, 'A');
        else readstat_insert_double_value(writer, mass, bmi[row]);
        readstat_insert_double_value(writer, end, end_date[row]);
        readstat_insert_double_value(writer, visit, seen[row]);
        readstat_end_row(writer);
    }
    readstat_error_t error = readstat_end_writing(writer);
    readstat_writer_free(writer);
    return close(file) || error != READSTAT_OK;
}
