/* Blocks that are on their way: MPI_Isend(3), MPI_Barrier(3), MPI_Waitall(3).

   mpicc -Wall blocks.c -o blocks; mpiexec -n 2 ./blocks blocks 3 10 1 */
#include <inttypes.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *room(size_t count, size_t size)
{
    void *room = calloc(count, size);
    if (room == NULL)
        MPI_Abort(MPI_COMM_WORLD, (perror("calloc"), 1));
    return room;
}

static void receiver(int blocks, int length)
{
    uint32_t *block = room(length, sizeof *block);
    MPI_Barrier(MPI_COMM_WORLD);
    for (int b = 0; b < blocks; b++) {
        MPI_Recv(block, length, MPI_UINT32_T, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        uint64_t sum = 0;
        for (int i = 0; i < length; i++)
            sum += block[i];
        printf("%" PRIu64 "\n", sum);
    }
    free(block);
}

static void sender(int blocks, int length, uint32_t first)
{
    MPI_Request *sends = room(blocks, sizeof *sends);
    //[
    uint32_t *numbers = room((size_t)blocks * length, sizeof *numbers); /* of all blocks */
    //]
    //| uint32_t *block = room(length, sizeof *block);
    for (int b = 0; b < blocks; b++) {
        //[
        uint32_t *block = numbers + (size_t)b * length; /* not touched until its send is done */
        //]
        for (int i = 0; i < length; i++)
            block[i] = first + b;
        MPI_Isend(block, length, MPI_UINT32_T, 0, 0, MPI_COMM_WORLD, &sends[b]);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Waitall(blocks, sends, MPI_STATUSES_IGNORE); /* sleeps, or spins, until all are done */
    //[
    free(numbers);
    //]
    //| free(block);
    free(sends);
}

int main(int argc, char *argv[])
{
    if (argc != 5 || strcmp(argv[1], "blocks") != 0)
        return fprintf(stderr, "usage: blocks BLOCKS LENGTH FIRST\n"), 2;
    MPI_Init(&argc, &argv); /* sleeps until all ranks are there */
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0)
        receiver(atoi(argv[2]), atoi(argv[3]));
    else
        sender(atoi(argv[2]), atoi(argv[3]), strtoul(argv[4], NULL, 10));
    MPI_Finalize(); /* sleeps until all ranks have come to it */
}
