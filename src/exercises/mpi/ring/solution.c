/* A ring of ranks: MPI_Sendrecv(3), MPI_Gather(3).

   mpicc -Wall ring.c -o ring; mpiexec -n 3 ./ring ring 10 1 */
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

static void ring(int count, uint32_t first)
{
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    uint32_t *mine = room(count, sizeof *mine), *theirs = room(count, sizeof *theirs);
    for (int i = 0; i < count; i++)
        mine[i] = first + rank + i;
    //[
    MPI_Sendrecv(mine, count, MPI_UINT32_T, next, 0, theirs, count, MPI_UINT32_T, before, 0,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE); /* sends and receives at the same time */
    //]
    //| MPI_Send(mine, count, MPI_UINT32_T, next, 0, MPI_COMM_WORLD);
    //| MPI_Recv(theirs, count, MPI_UINT32_T, before, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    uint64_t sum = 0, *sums = room(ranks, sizeof *sums);
    for (int i = 0; i < count; i++)
        sum += theirs[i];
    MPI_Gather(&sum, 1, MPI_UINT64_T, sums, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    for (int i = 0; i < ranks && rank == 0; i++)
        printf("%" PRIu64 "\n", sums[i]);
    free(mine), free(theirs), free(sums);
}

int main(int argc, char *argv[])
{
    if (argc != 4 || strcmp(argv[1], "ring") != 0)
        return fprintf(stderr, "usage: ring COUNT FIRST\n"), 2;
    MPI_Init(&argc, &argv); /* sleeps until all ranks are there */
    ring(atoi(argv[2]), strtoul(argv[3], NULL, 10));
    MPI_Finalize(); /* sleeps until all ranks have come to it */
}
